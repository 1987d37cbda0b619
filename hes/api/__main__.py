"""`python -m hes.api > docs/reference/openapi.json` writes the golden OpenAPI document again."""

import sys

from hes.api.app import ROUTES
from hes.api.openapi import text

sys.stdout.write(text(ROUTES))
