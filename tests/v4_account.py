"""An account that uses v4, with a key of this process."""

from __future__ import annotations

from cube_sms.provider.v4.credentials import V4Credentials
from local.keys import KeyPair

KEY_ID = "Ou8a5lyzPjN86ikmLeFC"
KEY = KeyPair.new()
ENTRY = {"key_id": KEY_ID, "private_key": KEY.private}
V4_CREDENTIALS = V4Credentials.from_entry(ENTRY, 1)
