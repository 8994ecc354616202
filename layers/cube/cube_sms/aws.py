"""How the functions talk to AWS."""

from __future__ import annotations

from botocore.config import Config

# AWS answers in milliseconds; botocore's defaults of a minute would outlive the invocation.
AWS_CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},
)
