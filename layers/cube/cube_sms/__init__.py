"""cube-sms: sign, send and account for SMS through the Cube API.

Dependencies flow one way: handlers → sending → (client, credentials) → (signing, models, errors).
"""

__version__ = "0.1.0"
