"""cube-sms: sign, send and account for SMS through the Cube API.

Dependencies flow one way: handlers → consumer, api → sending → (client, credentials, records, pacing) →
(signing, models, errors). `tests/unit/test_architecture.py` has all of it.
"""

__version__ = "0.1.0"
