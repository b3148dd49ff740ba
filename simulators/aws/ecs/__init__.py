"""ECS with tasks that run and are replaced, and with deployments of both kinds: MiniStack has records of them only.

A container is a process of this machine on an address of its own in 127.0.0.0/8; what is an image elsewhere is a
folder. The load balancer is a real nginx. Deployments go through ECS's stages, call the
hooks, watch the alarms and go back: what is assumed about the real one stands in docs/unverified-on-live.md.
"""
