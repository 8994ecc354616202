"""``cube-sms``, the operator's command. Nothing of it is in a layer.

It works through the outputs of a deployed stack, with the caller's AWS credentials.
"""
