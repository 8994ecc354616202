"""cube-sms: sign, send and account for SMS through the Cube API.

Dependencies go one way, from handlers to ``queue``, ``api``, ``outcomes`` and ``campaigns``, to ``delivery``, to
``pacing`` and ``provider``, to ``request``, to ``platform``. `.importlinter` holds them to it.
"""

__version__ = "0.1.0"
