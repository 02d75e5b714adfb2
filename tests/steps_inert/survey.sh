# shellcheck shell=sh
# shellcheck disable=SC2034  # read by finish
# Inert twin of the survey: the frames of a pretended Debian 12, by what sibling steps have marked.
STEP=survey
FRAMES=0

# frame NAME STATUS TEXT
frame() {
    FRAMES=$((FRAMES + 1))
    printf '@begin %s\n' "$1"
    printf '%s' "$3" | base64
    printf '@end %s %s\n' "$1" "$2"
}

# given TEXT NAME: a frame that is there with its text, or fails without one.
given() {
    if [ -n "$1" ]; then frame "$2" 0 "$1"; else frame "$2" 1 ''; fi
}

PUBLIC_KEY='-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAjkEoC8IOLmChzi7XZ/5x
gYVQ4uHDMzOoJEokrOQZa1EORxIww1bqBuxEIEbcGHpHA69reFSauO5FJwDQh1y2
zM2YUoGEpY86nqbfoTxkl65/MvGeIUweZ8op/HcM4+kZzGBcAr2xRtEjeDO10Fdd
g2OqM57SHv5uAFKj7BGAeZD5oIPE/reu6HNrWVlOOwKPi9SrpMAPWnE79o7q8kLK
bIQhiux+MZ4EjFYxlNyTuJoCz9vMthMrTyCPBWKlpOQzhIeI7Zx9DXd3NlWxSCeF
ndy2g1AUL/jYDOTLZxCQ1bEN5Gvb2otyK3t//e8czkcqSpSHFFlJ7xbFTx31vM95
rQIDAQAB
-----END PUBLIC KEY-----
'
host_hash=$(hash_of "$SCALEIO_HOST")
boot_hash=$(hash_of "boot $SCALEIO_HOST")
prerequisites=$(marker prerequisites)
sds=$(marked sds '')
sdc=$(marked sdc '')
rexray=$(marked rexray '')
isolator=$(marked isolator '')

packages=
[ -z "$prerequisites" ] || packages='libaio1 install ok installed 0.3.113-4
numactl install ok installed 2.0.16-1
openssl install ok installed 3.0.15-1
curl install ok installed 7.88.1-10
'
[ -z "$sds" ] || packages="${packages}emc-scaleio-sds install ok installed $sds
"
[ -z "$sdc" ] || packages="${packages}emc-scaleio-sdc install ok installed ${sdc%% *}
"
[ -z "$rexray" ] || packages="${packages}rexray install ok installed ${rexray%% *}
"
[ -z "$isolator" ] || packages="${packages}dvdcli install ok installed ${isolator%% *}
"

frame clock-begin 0 "$(date +%s)"
frame os-release 0 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
ID=debian
VERSION_ID="12"
'
frame uname 0 '6.1.0-18-amd64 x86_64
'
frame boot-id 0 "$(printf '%s' "$boot_hash" | cut -c 1-8)-0000-4000-8000-$(printf '%s' "$boot_hash" | cut -c 9-20)"
frame machine-id 0 "$(printf '%s' "$host_hash" | cut -c 33-64)"
frame init 0 'systemd
'
frame init-version 127 ''
frame packages-deb 1 "${packages}dpkg install ok installed 1.21.22
"
frame packages-rpm 127 ''
frame release-files 0 'debian_version=12.5
.
'
frame package-tools 0 '/usr/bin/apt-get
/usr/bin/dpkg
'
frame package-locks 0 'file=/var/lib/dpkg/lock-frontend 2049 4711
.
'
frame dpkg-repair 0 'audit=0
.
'
# service MARK NAME
service() {
    if [ -n "$1" ]; then frame "service.$2" 0 'active
'; else frame "service.$2" 3 'inactive
'; fi
}
service "$sds" sds
service "$sdc" scini
service "$rexray" rexray
# unit MARK NAME
unit() {
    if [ -n "$1" ]; then
        printf 'Id=%s.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n' "$2"
    else
        printf 'Id=%s.service\nLoadState=not-found\nActiveState=inactive\n\n' "$2"
    fi
}
frame units 0 "$(unit "$sds" sds && unit "$sdc" scini && unit "$rexray" rexray)"
frame job-files 0 '.
'
for room in root opt var boot tmp state sandbox; do
    frame "space.$room" 0 'Filesystem     1024-blocks     Used Available Capacity Mounted on
/dev/sda1 62500000 22500000 40000000 36% /
Filesystem       Inodes  IUsed    IFree IUse% Mounted on
/dev/sda1 3907584 559617 3347967 15% /
'
done
if [ -n "$sdc" ]; then
    frame guid 0 "$(guid_of "$SCALEIO_HOST")"
    number=0
    addresses=
    for address in $(printf '%s' "${sdc#* }" | tr ',' ' '); do
        addresses="$addresses [$number]-$address"
        number=$((number + 1))
    done
    frame mdms 0 "Retrieved 1 mdm(s)
MDM-ID 0000000000000001 SDC ID 0000000000000002 INSTALLATION ID 0000000000000003 IPs$addresses
"
    frame module 0 'live
'
else
    frame guid 127 ''
    frame mdms 127 ''
    frame module 1 ''
fi
isolation='filesystem\/posix,posix\/cpu,posix\/mem'
[ -z "$isolator" ] || isolation=$(printf '%s' "${isolator#* }" | sed 's,/,\\/,g')
frame agent-flags 0 "{\"flags\":{\"isolation\":\"$isolation\",\"launcher\":\"linux\"}}"
[ -n "$prerequisites" ] || PUBLIC_KEY=
given "$PUBLIC_KEY" public-key
frame openssl 0 'OpenSSL 3.0.15 3 Sep 2024
'
receipt=
config=
if [ -n "$rexray" ]; then
    config_hash=$(hash_of config)
    receipt="{\"version\":1,\"entries\":[{\"step\":\"rexray\",\"state\":\"kept\",\"boot_id\":\"\",\"config\":\"${rexray#* }\",\"sha256\":\"$config_hash\"}]}"
    config="$config_hash  /etc/rexray/config.yml"
fi
given "$receipt" receipt
given "$config" rexray-config
frame mountinfo 0 '24 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
'
frame swaps 0 'Filename Type Size Used Priority
'
frame deny 1 ''

# block NUMBER NAME BYTES PARTITIONS
block() {
    frame "disk.$1.sysfs" 0 "node=/dev/$2
sysfs=$2
path=/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/$2
device=8:$((16 * $1))
size=$(($3 / 512))
ro=0
removable=0
partition=
partitions=$4
partition-device=8:$((16 * $1 + 1))
slaves=
holders=
"
    frame "disk.$1.udev" 0 ''
}
links="/dev/disk/by-id/ata-INERT_SYSTEM /dev/sda
"
block 0 sda 64000000000 sda1
frame disk.0.blkid 0 'PTTYPE=gpt
'
frame disk.0.open 1 ''
case $SCALEIO_HOST in
    agent[0-2] | agent[0-2][!0-9]*)
        number=1
        for name in sdb sdc sdd; do
            block "$number" "$name" 214748364800 ''
            frame "disk.$number.blkid" 2 ''
            frame "disk.$number.open" 0 ''
            frame "disk.$number.zero" 0 ''
            links="${links}/dev/disk/by-id/ata-INERT_DISK$number /dev/$name
"
            number=$((number + 1))
        done
        ;;
esac
frame links 0 "$links"
frame clock-end 0 "$(date +%s)"
EXTRA=",\"frames\":$FRAMES"
finish 0 surveyed
