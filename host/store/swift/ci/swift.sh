# shellcheck shell=bash
# OpenStack Swift on one disk, which speaks its own protocol and S3's: what `swift`, `swift-s3` and
# `swift-keystone` have in common.

# shellcheck source=../../ci/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../ci/common.sh"

readonly user=samara:tester key=samara-secret
# Who looks at tokens and signatures, and how many segments an object's list may have.
auth="s3api tempauth"
list_segments=1000

install() {
  install_swift
}

installed() {
  installed_swift
}

install_swift() {
  need setfattr attr
  debian swift-proxy swift-account swift-container swift-object memcached python3
}

installed_swift() {
  has swift-proxy-server swift-account-server swift-container-server swift-object-server \
    memcached setfattr
}

# start_swift: sets `endpoint`, and `token` and `storage` of the native protocol.
start_swift() {
  local cache proxy account container object kind
  { read -r cache && read -r proxy && read -r account && read -r container && read -r object; } \
    < <(ports 5)
  endpoint="http://127.0.0.1:$proxy"
  etc="$dir/etc"
  mkdir -p "$etc" "$dir/disks/one"
  # Objects have their metadata in attributes, which not every file system keeps.
  setup setfattr -n user.samara -v 1 "$dir/disks/one"
  configure_cluster
  configure_proxy "$proxy" "$cache"
  make_rings "account=$account" "container=$container" "object=$object"
  server memcached memcached -u "$(id -un)" -l 127.0.0.1 -p "$cache" -m 64
  for kind in account container object; do
    configure_store "$kind" "${!kind}"
    server "$kind" swift-"$kind"-server "$etc/$kind-server.conf" --verbose
  done
  server proxy swift-proxy-server "$etc/proxy-server.conf" --verbose
  # The proxy avoids a server for a minute that did not answer it, so it is asked last.
  for kind in account container object; do
    await "$kind" 60 answers "http://127.0.0.1:${!kind}/"
  done
  await proxy 60 http "$endpoint/healthcheck"
  await proxy 60 log_in
  await proxy 60 http -X PUT -H "X-Auth-Token: $token" "$storage/samara"
}

log_in() {
  local headers
  headers="$(http -D - -o /dev/null -H "X-Auth-User: $user" -H "X-Auth-Key: $key" \
    "$endpoint/auth/v1.0")" || return 1
  token="$(header x-auth-token "$headers")"
  storage="$(header x-storage-url "$headers")"
}

# header NAME HEADERS
header() {
  tr -d '\r' <<<"$2" | awk -F ': ' -v name="$1" 'tolower($1) == name {print $2}'
}

configure_cluster() {
  cat >"$etc/swift.conf" <<END
[swift-hash]
swift_hash_path_prefix = samara
swift_hash_path_suffix = samara
[storage-policy:0]
name = gold
default = yes
[swift-constraints]
max_header_size = 16384
END
}

# make_rings KIND=PORT…: the way to each kind of server. Swift's own program would take three calls
# for each, of half a second.
make_rings() {
  setup /usr/bin/python3 -c 'import sys
from swift.common.ring import RingBuilder
for kind, port in (one.split("=") for one in sys.argv[2:]):
    builder = RingBuilder(4, 1, 1)
    place = {"ip": "127.0.0.1", "port": int(port)}
    together = {"replication_ip": "127.0.0.1", "replication_port": int(port)}
    disk = {"id": 0, "region": 1, "zone": 1, "device": "one", "weight": 1, "meta": ""}
    builder.add_dev({**place, **together, **disk})
    builder.rebalance()
    builder.get_ring().save(f"{sys.argv[1]}/{kind}.ring.gz")' "$etc" "$@"
}

# configure_store KIND PORT
configure_store() {
  cat >"$etc/$1-server.conf" <<END
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $2
workers = 0
user = $(id -un)
swift_dir = $etc
devices = $dir/disks
mount_check = false
disable_fallocate = true
log_level = WARNING
[pipeline:main]
pipeline = $1-server
[app:$1-server]
use = egg:swift#$1
END
}

# configure_proxy PORT CACHE_PORT
configure_proxy() {
  cat >"$etc/proxy-server.conf" <<END
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $1
workers = 0
user = $(id -un)
swift_dir = $etc
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl $auth copy slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
dns_compliant_bucket_names = false
allow_multipart_uploads = true
min_segment_size = 5242880
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$2
[filter:slo]
use = egg:swift#slo
max_manifest_segments = $list_segments
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
END
  configure_auth >>"$etc/proxy-server.conf"
  local filter
  for filter in catch_errors gatekeeper healthcheck listing_formats bulk tempurl copy dlo symlink; do
    printf '[filter:%s]\nuse = egg:swift#%s\n' "$filter" "$filter"
  done >>"$etc/proxy-server.conf"
}

configure_auth() {
  cat <<END
[filter:tempauth]
use = egg:swift#tempauth
user_${user/:/_} = $key .admin
END
}
