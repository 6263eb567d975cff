"""The local socket: the Redis protocol in front of the replicas' states.

Knows sessions, requests, replies and the table of commands. Promises that replies and errors are those of Redis 7.0.15
for what is offered, that the requests of one connection are answered in order, and that no request waits for another
connection unless its command says so. Must not know how a state is replicated, stored or published: all of that is
behind `daemon.api.hub.Hub`.
"""
