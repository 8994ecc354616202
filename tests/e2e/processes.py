"""Processes beside a test's own that do what several workers do at the same moment."""

from __future__ import annotations

import multiprocessing

# Forked from a server that has no threads, and has imported what takes longest: a fork of the test's own process may
# inherit a lock that nobody releases.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["boto3", "cube_sms_cli.main"])
