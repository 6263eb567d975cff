#!/bin/sh
# Makes a password for each replica, once, and what the broker needs to check them. Runs before everything else.
#
# Knows: who the replicas are (REPLICAS), two user ids, the volumes it is given. Promises: a password that exists stays;
# a replica's volume holds its own password and no other; names are printed, passwords are not. Must not know: Docker.
#
#   /in              the broker's configuration and ACL, as committed
#   /broker          the broker's volume: both, and the hashed passwords; readable by the broker alone
#   /secret/NAME     a volume for each replica: `password`, readable by the daemons' group
set -eu
umask 077

BROKER=1883:1883
DAEMONS=0:10001

place() { # FROM TO OWNER MODE: whole or not at all
  rm -f "$2.new"
  cp "$1" "$2.new"
  chmod "$4" "$2.new"
  chown "$3" "$2.new"
  mv -f "$2.new" "$2"
}

for name in $REPLICAS; do
  secret=/secret/$name/password
  if [ -s "$secret" ]; then
    echo "$name has its password"
  else
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > /tmp/password
    place /tmp/password "$secret" "$DAEMONS" 0440
    echo "$name has a new password"
  fi
  printf '%s:%s\n' "$name" "$(cat "$secret")" >> /tmp/passwords
done

mosquitto_passwd -U /tmp/passwords
# The broker's own files, because it distrusts those of anybody else.
place /tmp/passwords /broker/passwords "$BROKER" 0400
place /in/acl /broker/acl "$BROKER" 0400
place /in/mosquitto.conf /broker/mosquitto.conf "$BROKER" 0400
