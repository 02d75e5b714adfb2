# shellcheck shell=sh
# Of the host's init system, whichever it is. The package's folder holds NAME.init and NAME.conf.
init_system() {
    if [ -d /run/systemd/system ]; then
        echo systemd
    elif initctl version 2>/dev/null | grep -q upstart; then
        echo upstart
    else
        echo sysvinit
    fi
}

# start_now_and_at_boot NAME FOLDER
start_now_and_at_boot() {
    case $(init_system) in
        systemd)
            systemctl daemon-reload
            systemctl enable --quiet "$1.service"
            systemctl restart "$1.service"
            ;;
        upstart)
            cp "$2/$1.conf" "/etc/init/$1.conf"
            initctl reload-configuration
            initctl restart "$1" 2>/dev/null || initctl start "$1"
            ;;
        *)
            cp "$2/$1.init" "/etc/init.d/$1"
            chmod 0755 "/etc/init.d/$1"
            update-rc.d "$1" defaults >/dev/null
            service "$1" restart
            ;;
    esac
}

stop_for_good() {
    case $(init_system) in
        systemd) systemctl disable --now --quiet "$1.service" ;;
        upstart)
            initctl stop "$1" || :
            rm -f "/etc/init/$1.conf"
            ;;
        *)
            service "$1" stop
            rm -f "/etc/init.d/$1"
            update-rc.d "$1" remove >/dev/null
            ;;
    esac
}

