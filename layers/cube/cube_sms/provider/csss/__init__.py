"""The provider's first dialect: `sendSms` of the CSSS family, signed with an access code and a secret.

Nothing outside knows its field names and codes. It knows nothing of queues, records and the gate.
"""

from __future__ import annotations

from .client import CubeClient
from .credentials import CsssCredentials

__all__ = ["CsssCredentials", "CubeClient"]
