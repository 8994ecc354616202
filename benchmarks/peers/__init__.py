"""The peers: handlers of the send queue as others write them. They import no code of cube-sms."""
