"""The commands, a module for each group. `cube_sms_cli.main` puts them together."""
