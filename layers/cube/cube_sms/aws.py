"""How the functions talk to AWS."""

from __future__ import annotations

from botocore.config import Config

# AWS answers in milliseconds; botocore's defaults of a minute would outlive the invocation. Three tries that hang take
# 9 s, and so the three times that the outcome of a POST is written take less than what a POST leaves of the invocation.
AWS_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 3},
    # Every call is typed and checked before it runs; this is a tenth of what a call costs.
    parameter_validation=False,
)
