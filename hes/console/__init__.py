"""The web console: TypeScript sources in web/, built assets in static/, served by hes.api."""

from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent / "static"
"""Where `npm run build` puts the built console; it ships in the wheel."""

__all__ = ["STATIC"]
