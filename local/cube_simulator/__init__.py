"""A strict Cube on loopback that verifies, limits, counts, and misbehaves on demand.

Run it with `python -m local.cube_simulator`, or from Python with `CubeSimulator`. It answers `POST …/sms/sendSms`
under any prefix, and over `/_health`, `/_stats`, `/_requests`, `/_config`, `/_callbacks` and `/_reset` it is watched
and directed. `callbacks` calls back what devices answer.
"""

from local.cube_simulator.process import CubeSimulator

__all__ = ["CubeSimulator"]
