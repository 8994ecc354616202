"""The provider's second dialect: Cube v4, signed with an RSA key, up to a hundred SIMs a query.

Nothing outside knows its field names and codes. It knows nothing of queues, records and the gate.
"""

from __future__ import annotations

from .client import CubeV4Client
from .credentials import V4Credentials

__all__ = ["CubeV4Client", "V4Credentials"]
