"""
Meter secrets: wrapped at rest by a KEK, in clear only in the collector's memory.

`Kek` is the cryptography, `KekFile` where the KEK lies, `KeyService` what wraps and unwraps an
association's secrets. What is stored is opaque to `hes.storage`.
"""

from hes.keys.kek import Kek, KekError, SecretKind
from hes.keys.kek_file import KekFile
from hes.keys.service import KeyService

__all__ = ["Kek", "KekError", "KekFile", "KeyService", "SecretKind"]
