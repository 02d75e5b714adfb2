# shellcheck shell=sh
# Downloads: nothing is used before its size and SHA-256 are the catalog's.
# PACKAGE_URL and PACKAGE_MIRRORS are tried in turn. What an earlier try left behind is taken up
# again, and trusted no more than a new download.
FETCH_S=1200 # for all mirrors of one file together
FETCH_CACHE=$STATE_DIR/cache
FETCH_KEPT_DAYS=6
FETCH_ROOM_KB=1024 # what is left free, in the sandbox too: package managers write there

# fetch_package: PACKAGE_FILE is the verified file, in a folder that only root can enter.
fetch_package() {
    allow PACKAGE_MIRRORS '][A-Za-z0-9._:/?#@!$&()*+,;=%~ -' "${PACKAGE_MIRRORS:=}"
    allow PACKAGE_PROXY '][A-Za-z0-9.:/_-' "${PACKAGE_PROXY:=}"
    allow PACKAGE_NO_PROXY 'A-Za-z0-9.:/_,*-' "${PACKAGE_NO_PROXY:=}"
    for fetch_url in $PACKAGE_URL $PACKAGE_MIRRORS; do
        fetch_protocols >/dev/null || finish 78 url \
            "${fetch_url%%[?#]*} is plain http or of an unknown scheme: use https, or set allow_http in the catalog"
    done
    fetch_named
    fetch_prepare
    fetch_cached && return 0
    fetch_room
    fetch_from_mirrors
}

fetch_named() {
    fetch_path=${PACKAGE_URL%%[?#]*}
    fetch_name=${fetch_path##*/}
    PACKAGE_FILE=$FETCH_CACHE/$PACKAGE_SHA256-$fetch_name
    FETCH_PART=$FETCH_CACHE/$PACKAGE_SHA256.part
}

# What is old belongs to no work under way. The folder is ours alone, under the step's lock.
fetch_prepare() {
    mkdir -p "$FETCH_CACHE"
    chmod 0700 "$FETCH_CACHE"
    find "$FETCH_CACHE" -type f -mtime "+$FETCH_KEPT_DAYS" | while IFS= read -r fetch_old; do
        rm -f "$fetch_old"
    done
}

fetch_cached() {
    [ -e "$PACKAGE_FILE" ] || return 1
    if fetch_is_right "$PACKAGE_FILE"; then return 0; fi
    rm -f "$PACKAGE_FILE"
    return 1
}

fetch_is_right() {
    [ "$(fetch_size "$1")" = "$PACKAGE_SIZE" ] && [ "$(digest "$1")" = "$PACKAGE_SHA256" ]
}

fetch_size() {
    if [ -e "$1" ]; then wc -c <"$1" | tr -d ' '; else echo 0; fi
}

# forget_package: it is installed, or of no use.
forget_package() {
    fetch_named
    rm -f "$PACKAGE_FILE" "$FETCH_PART"
}

# FETCH_SEVERAL: what was fetched before in this step is still needed.
fetch_room() {
    fetch_begun=$(fetch_size "$FETCH_PART")
    fetch_needed=$(((PACKAGE_SIZE - fetch_begun) / 1024 + FETCH_ROOM_KB))
    fetch_has_room "$FETCH_CACHE" "$fetch_needed" || {
        [ "${FETCH_SEVERAL:-no}" = yes ] || {
            rm -rf "$FETCH_CACHE" # the rest can be had again
            fetch_prepare
            fetch_needed=$((PACKAGE_SIZE / 1024 + FETCH_ROOM_KB))
        }
        fetch_has_room "$FETCH_CACHE" "$fetch_needed"
    } || finish 75 space \
        "$FETCH_CACHE has $fetch_free KB free, and $fetch_name needs $fetch_needed KB: make room, it is tried again"
    fetch_has_room "$WORK" "$FETCH_ROOM_KB" ||
        finish 75 space "the task's sandbox has $fetch_free KB free and needs $FETCH_ROOM_KB KB: make room, it is tried again"
}

fetch_has_room() {
    fetch_free=$(df -P -k "$1" | sed -n 's/^.* \([0-9][0-9]*\)  *[0-9][0-9]*% .*$/\1/p')
    [ "${fetch_free:-$2}" -ge "$2" ]
}

# room_to_unpack ARCHIVE FOLDER TIMES: asked before it is unpacked, of what it holds unpacked.
room_to_unpack() {
    unpack_bytes=$(run tar -x -O -f "$1" 2>/dev/null | wc -c | tr -d ' ')
    unpack_needed=$((unpack_bytes * $3 / 1024 + FETCH_ROOM_KB))
    fetch_has_room "$2" "$unpack_needed" || finish 75 space \
        "$2 has $fetch_free KB free, and ${1##*/} needs $unpack_needed KB to be unpacked: make room, it is tried again"
}

fetch_from_mirrors() {
    fetch_wrong=
    fetch_failed=
    read -r fetch_now _ </proc/uptime
    FETCH_UNTIL=$((${fetch_now%%.*} + FETCH_S))
    for fetch_url in $PACKAGE_URL $PACKAGE_MIRRORS; do
        fetch_mirror && return 0
        case $FETCH_VERDICT in
            size | checksum) fetch_wrong=$FETCH_VERDICT ;;
            *) fetch_failed=$FETCH_VERDICT ;;
        esac
    done
    [ "$fetch_failed" != curl ] || finish 78 curl \
        "neither curl, GNU wget nor Python with TLS is there to download $fetch_name: install curl"
    [ -z "$fetch_failed" ] ||
        finish 75 download "download of $fetch_name failed: see the messages above"
    finish 65 "$fetch_wrong" \
        "$fetch_name is not the file that the catalog says, wherever it comes from"
}

# One mirror, of which FETCH_VERDICT tells what was wrong. A resumed download that ends wrong may
# have begun with another mirror's wrong data, so it is made once more from the first byte.
fetch_mirror() {
    if [ -s "$FETCH_PART" ]; then
        fetch_try && return 0
        [ "$FETCH_VERDICT" != failed ] || return 1
    fi
    rm -f "$FETCH_PART"
    fetch_try
}

fetch_try() {
    FETCH_VERDICT=failed
    fetch_status=0
    fetch_begun=$(fetch_size "$FETCH_PART")
    if [ "$fetch_begun" -lt "$PACKAGE_SIZE" ]; then fetch_bytes || fetch_status=$?; fi
    fetch_have=$(fetch_size "$FETCH_PART")
    case $fetch_status in
        0) ;;
        63 | 153) # curl's bound, the kernel's
            fetch_status=0
            fetch_have="more than $PACKAGE_SIZE"
            ;;
        127) FETCH_VERDICT=curl ;;
        22 | 33 | 36) # a refusal: of the file, or of the wish to go on in its midst
            [ "$fetch_begun" = 0 ] || FETCH_VERDICT=range
            ;;
        *) say "${fetch_url%%[?#]*}: broke off with status $fetch_status, $fetch_have of $PACKAGE_SIZE bytes are there" ;;
    esac
    [ "$fetch_status" = 0 ] && fetch_judge
}

fetch_judge() {
    FETCH_VERDICT=size
    if [ "$fetch_have" = "$PACKAGE_SIZE" ]; then
        fetch_digest=$(digest "$FETCH_PART")
        FETCH_VERDICT=checksum
        if [ "$fetch_digest" = "$PACKAGE_SHA256" ]; then
            mv -f "$FETCH_PART" "$PACKAGE_FILE"
            return 0
        fi
        say "${fetch_url%%[?#]*}: SHA-256 $fetch_digest, the catalog says $PACKAGE_SHA256"
    else
        say "${fetch_url%%[?#]*}: $fetch_have bytes, the catalog says $PACKAGE_SIZE"
    fi
    rm -f "$FETCH_PART"
    return 1
}

# The protocols that a mirror may use. Plain http to the scheduler itself is as good as any way,
# since the SHA-256 that came with the task decides.
fetch_protocols() {
    case $fetch_url in
        https://*) echo '=https' ;;
        file:///*) echo '=file' ;;
        http://*)
            if [ "${PACKAGE_ALLOW_HTTP:-no}" != yes ]; then
                [ -n "${PACKAGE_OWN:-}" ] || return 1
                case $fetch_url in
                    "$PACKAGE_OWN"*) ;;
                    *) return 1 ;;
                esac
            fi
            echo '=http,https'
            ;;
        *) return 1 ;;
    esac
}

# Into FETCH_PART. 127: there is no program to do it. The kernel's bound on files is for servers
# that do not say how much they send; it is wide, because the sandbox's own files count as well.
fetch_bytes() {
    read -r fetch_now _ </proc/uptime
    fetch_left=$((FETCH_UNTIL - ${fetch_now%%.*}))
    [ "$fetch_left" -gt 0 ] || return 28 # as curl has it
    (
        ulimit -f $((PACKAGE_SIZE / 512 + 131072))
        fetch_proxy
        case $fetch_url in
            file://*) fetch_by_copy ;;
            *)
                if command -v curl >/dev/null; then
                    fetch_by_curl
                elif wget --version 2>/dev/null </dev/null | grep -q 'GNU Wget'; then
                    fetch_by_wget # others do not look at certificates
                else
                    fetch_by_python
                fi
                ;;
        esac
    ) >&2
}

fetch_proxy() {
    case $fetch_url in
        "${PACKAGE_OWN:-none}"*)
            unset http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY
            ;;
        *)
            [ -z "$PACKAGE_PROXY" ] || {
                http_proxy=$PACKAGE_PROXY https_proxy=$PACKAGE_PROXY no_proxy=$PACKAGE_NO_PROXY
                export http_proxy https_proxy no_proxy
                unset HTTPS_PROXY all_proxy ALL_PROXY NO_PROXY
            }
            ;;
    esac
}

fetch_by_curl() {
    run curl --globoff --fail --silent --show-error --location --proto "$(fetch_protocols)" \
        --proto-redir "$(fetch_protocols)" --connect-timeout 20 --max-time "$fetch_left" \
        --speed-limit 1024 --speed-time 60 --max-filesize "$PACKAGE_SIZE" \
        --continue-at "$fetch_begun" --output "$FETCH_PART" "$fetch_url"
}

# Without redirections: this program would follow them to plain http, too. The server's time would
# make the file too old for the cache.
fetch_by_wget() {
    rm -f "$FETCH_PART"
    run timeout "$fetch_left" wget --no-verbose --tries=1 --timeout=60 --max-redirect=0 \
        --no-use-server-timestamps --output-document="$FETCH_PART" "$fetch_url"
}

fetch_by_python() {
    fetch_python=$(command -v python3 || command -v python || command -v /usr/libexec/platform-python) ||
        exit 127
    rm -f "$FETCH_PART"
    # shellcheck disable=SC2016  # the program's own words
    run timeout "$fetch_left" "$fetch_python" -c '
import ssl, sys
try:
    from urllib.request import urlopen
except ImportError:
    from urllib2 import urlopen
url, path, most = sys.argv[1], sys.argv[2], int(sys.argv[3])
if not hasattr(ssl, "create_default_context"):
    sys.exit(127)  # so old that it does not look at certificates
given = {"context": ssl.create_default_context()} if url.startswith("https:") else {}
answer = urlopen(url, timeout=60, **given)
if url.startswith("https:") and not answer.geturl().startswith("https:"):
    sys.exit("redirected to plain http")
with open(path, "wb") as file:
    while True:
        block = answer.read(65536)
        if not block:
            break
        most -= len(block)
        if most < 0:
            sys.exit(63)
        file.write(block)
' "$fetch_url" "$FETCH_PART" "$PACKAGE_SIZE"
}

fetch_by_copy() {
    fetch_source=${fetch_url#file://}
    [ -f "$fetch_source" ] || {
        say "$fetch_source is no file on this host"
        exit 37 # as curl has it
    }
    [ "$(fetch_size "$fetch_source")" -le "$PACKAGE_SIZE" ] || exit 63
    rm -f "$FETCH_PART"
    run dd if="$fetch_source" of="$FETCH_PART" bs=65536 status=none
}
