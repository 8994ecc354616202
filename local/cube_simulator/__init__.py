"""A strict Cube on loopback that verifies, limits, counts, and misbehaves on demand.

Run it with `python -m local.cube_simulator`, or from Python with `CubeSimulator`. Under any prefix it answers
`POST …/sms/sendSms` (csss), `POST …/sms`, `GET …/sms/mt/{sim_id}` and `GET …/sms/mo/{sim_id}` (v4). Over `/_health`,
`/_stats`, `/_requests`, `/_config`, `/_replies`, `/_callbacks` and `/_reset` it is watched and directed.
`callbacks` calls back what devices answer.
"""

from local.cube_simulator.process import CubeSimulator

__all__ = ["CubeSimulator"]
