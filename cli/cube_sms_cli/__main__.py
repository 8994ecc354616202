"""``python -m cube_sms_cli``."""

from .main import main

main()
