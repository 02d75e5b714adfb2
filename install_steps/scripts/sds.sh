# shellcheck shell=sh
# parts: _packages _fetch _install _services
# The storage server. It gets its domain, pool and devices through the Gateway, not from here.
begin_step sds lock
find_platform
ensure_package sds
start_service sds
receipt sds kept ",\"version\":\"$PACKAGE_VERSION\""
finish 0 holds
