# shellcheck shell=sh
# shellcheck disable=SC2034  # read by finish
# Inert twin of the health check: unhealthy once somebody puts a file called sick into the sandbox.
STEP=keeper_health
[ ! -e "$SANDBOX/sick" ] || finish 1 sds "service sds does not run"
finish 0 healthy
