#!/bin/sh
# Prints what this host's standard tools say of its network and of its container engine, as one text stream:
#
#     sh collect.sh > host.txt        and then, wherever netdash is: netdash --from host.txt
#
# It only reads: no file is written, no rule or table is made, no service started. It needs a POSIX shell and no root;
# what it may not read, or what has no tool here, is told in the stream. Environment values, command lines and labels
# of containers are taken out before they are printed (by awk).
#
# The stream: `netdash-collector 1 MARK`, then lines that begin with `=MARK ` (the collector's own) or `|` (a tool's):
#
#     =MARK asked SOURCE…            what it is going to read
#     =MARK host NAME, taken SECONDS, privileged 0|1
#     =MARK source NAME              what follows belongs to this source
#     =MARK begin PATH               a file of the bundle: its lines, each after `|`; a line with their number stands
#                                    before the last one, which is the tool's exit status
#     =MARK end PATH WHY             WHY: the last line of the tool's errors
#     =MARK missing PATH TOOL        the tool is not on this host
#     =MARK failed SOURCE WHY
#     =MARK events SECONDS           the engine can be asked for events since then: see `await`
#     =MARK done
#
# A stream without `done` was cut off: the last source that it began is not complete.
#
# Where `keep` is set, it is asked again and again by one reader, and sends only what changed:
#
#     =MARK part KEY                 the lines above that follow belong together. `@FROM COUNT` stands for so many lines
#                                    of what this part was the last time, from this line on, the first one being 1
#     =MARK whole COUNT              the end of the part, and how many lines it has
#     +TEXT                          goes on the line before: a long line is cut between the records of a JSON list
#
# shellcheck disable=SC2030,SC2031 # what the loop over containers sets is used inside it

PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL
wait=5         # seconds for one tool, or one call of the engine
many=300       # containers that are looked into, at most
inside_time=20 # seconds that looking into containers may take

# The path of a tool. Not `command -v`: a busybox shell would name its own `ip`, which prints no JSON.
path_to() {
    folders=$PATH:
    while [ -n "$folders" ]; do
        if [ -f "${folders%%:*}/$1" ] && [ -x "${folders%%:*}/$1" ]; then
            printf '%s' "${folders%%:*}/$1"
            return
        fi
        folders=${folders#*:}
    done
    return 1
}

have() { path_to "$1" >/dev/null || command -v "$1" >/dev/null 2>&1; }

say() { printf '=%s %s\n' "$mark" "$*"; }

# Prints what changed since the last time: KEY COMMAND ARGUMENT…  There are few keys: what was sent stays in memory.
# shellcheck disable=SC2034,SC2154 # eval uses and sets variables by their numbers
part() {
    if [ -z "${keep:-}" ]; then
        shift
        "$@"
        return
    fi
    case ${keys:= } in
    *" $1="*)
        number=${keys#*" $1="}
        number=${number%% *}
        ;;
    *)
        number=${#keys}
        keys="$keys$1=$number "
        ;;
    esac
    eval "before=\${sent_$number:-} lines=\${lines_$number:-0}"
    say "part $1"
    shift
    text=$("$@")
    if [ "$text" = "$before" ]; then
        printf '@1 %s\n' "$lines"
    else
        lines=$(shown "$text" | sed -n '$=')
        differing=
        [ -z "$before" ] || differing=$(printf '%s\n' "$before" "=$mark" "$text" |
            awk -v between="=$mark" "$differ" 2>/dev/null) || differing=
        shown "${differing:-$text}"
        eval "sent_$number=\$text lines_$number=\$lines"
    fi
    say "whole $lines"
}

# Of two texts and a line between them: the second, with `@FROM COUNT` for lines of the first. The ends of what it says
# are compared by their number of lines, which the reader counts too.
# shellcheck disable=SC2016 # awk's own $
differ='
function flush() {
    if (run) print "@" from " " run
    run = 0
}
!second && $0 "" == between { second = 1; next }
!second { old[++count] = $0; at[$0] = count; next }
run && from + run <= count && $0 "" == old[from + run] "" { run++; next }
{ flush() }
$0 in at { from = at[$0]; run = 1; next }
{ print }
END { flush() }'

# A command's answer, its lines marked, and how it ended. Nothing goes through a file.
file() { part "$1" whole_file "$@"; }

whole_file() {
    path=$1
    shift
    say "begin $path"
    {
        told=$({
            {
                "$@" 2>&3 3>&- 4>&- </dev/null
                printf '\n%s\n' "$?"
            } | sed -e 's/^/|/' -e "${keep:+$pieces}" -e '$=' >&4
        } 3>&1)
    } 4>&1
    [ -z "$told" ] || told=$(last_line "$told")
    say "end $path $told"
}

pieces='s/}, \{0,1\}{/&\
+/g'

# The last line that is not empty, without carriage returns. By sed alone, without which no file is printed at all.
last_line() { printf '%s\n' "$1" | sed -n -e "s/$return//g" -e '/./h' -e '${' -e x -e 's/^\(.\{200\}\).*/\1/' -e p -e '}'; }

# The same of a tool that may not be there: PATH TOOL ARGUMENT…
ask() {
    where=$1
    tool=$2
    if found=$(path_to "$tool"); then
        shift 2
        # shellcheck disable=SC2086 # the limit is a command and its argument, or nothing
        file "$where" $limit "$found" "$@"
    else
        say "missing $where $tool"
    fi
}

# --- the engine -------------------------------------------------------------------------------------------------------

# JSON documents, one a line: `J` and the document without the values that may hold secrets, then a line
# `T ID PID PUBLISHED NETWORKS NAME` for each running container that can be looked into. Other lines: an HTTP
# status, of which 000 means that there was no answer.
# shellcheck disable=SC2016 # awk's own $
filter='
function key(name, after) {
    parent[depth] = name
    if (name == "Labels" && after !~ /^[ \t]*:[ \t]*\{/ || name in secret || labels && labels == depth && !(name in kept)) {
        printf "\"%s\":null", labels && labels == depth ? "" : name
        skip = depth
        return
    }
    printf "\"%s\"", name
    if (name == "Labels") labels = depth + 1
    if (depth == base + 1 && parent[base] == "State" && name == "Pid") pid = after
    if (depth == base + 2 && parent[base] == "NetworkSettings") {
        if (parent[base + 1] == "Ports" && after ~ /^[ \t]*:[ \t]*\[[ \t]*\{/) published = 1
        if (parent[base + 1] == "Networks") networks++
    }
}
function value(text) {
    printf "\"%s\"", text
    if (depth == base && parent[base] == "Id") id = text
    if (depth == base && parent[base] == "Name") name = text
    if (depth == base + 1 && parent[base] == "HostConfig" && parent[depth] == "NetworkMode") mode = text
}
function around(text, at, c) {
    for (at = 1; at <= length(text); at++) {
        c = substr(text, at, 1)
        if (skip && depth == skip && (c == "," || c == "}" || c == "]")) skip = 0
        if (!skip) printf "%s", c
        if (c == "{" || c == "[") {
            depth++
            parent[depth] = ""
        } else if (c == "}" || c == "]") {
            if (depth == labels) labels = 0
            if (depth == base && c == "}") target()
            depth--
        }
    }
}
function target() {
    sub(/^[^0-9]*/, "", pid)
    sub(/[^0-9].*/, "", pid)
    sub(/^\//, "", name)
    if (length(id) >= 12 && id ~ /^[0-9a-f]+$/ && pid + 0 > 1 && mode != "host" && name ~ /^[A-Za-z0-9][A-Za-z0-9_.-]*$/)
        targets = targets "T " id " " pid + 0 " " published " " networks + 0 " " name "\n"
    id = name = pid = mode = ""
    published = networks = 0
}
BEGIN {
    count = split("Env Cmd Args Entrypoint Command Path Test Healthcheck LogConfig Mounts Binds Annotations " \
        "HttpProxy HttpsProxy NoProxy RegistryConfig ClientInfo Plugins Runtimes RemoteManagers", words, " ")
    for (at = 1; at <= count; at++) secret[words[at]]
    count = split("com.docker.compose.project com.docker.compose.service com.docker.compose.network " \
        "com.docker.swarm.service.name io.podman.compose.project", words, " ")
    for (at = 1; at <= count; at++) kept[words[at]]
    published = networks = 0
}
/^000$/ { exit 7 }
/^[0-9]*$/ { next }
{
    count = split($0, part, "\"")
    base = $0 ~ /^[ \t]*\[/ ? 2 : 1
    depth = labels = skip = 0
    targets = ""
    printf "J"
    around(part[1])
    at = 2
    while (at <= count) {
        text = part[at++]
        while (at <= count && text ~ /\\$/ && match(text, /\\+$/) && RLENGTH % 2) text = text "\"" part[at++]
        after = part[at++]
        if (!skip) {
            if (after ~ /^[ \t]*:/) key(text, after)
            else value(text)
        }
        around(after)
    }
    printf "\n%s", targets
}'

api() {
    path_of_api=$1
    shift
    curl -q -sS -f --noproxy '*' --max-time "$wait" --unix-socket "$socket" "$@" "http://localhost$path_of_api"
}

# A pipe has the status of its last command alone: each step is a command of its own, so that none fails unseen.
filtered() {
    answer=$("$@") || return
    answer=$(printf '%s\n' "$answer" | awk "$filter") || return
    kept "$answer"
}

shown() { printf '%s\n' "$1"; }

kept() { printf '%s\n' "$1" | sed -n 's/^J//p'; }

# Where the engine is asked: unix://SOCKET, or where DOCKER_HOST leads; nothing where there is none.
engine_address() {
    if [ -n "${DOCKER_HOST:-}" ]; then
        printf '%s' "$DOCKER_HOST"
        return
    fi
    mine=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
    for one in /var/run/docker.sock "$mine/docker.sock" /run/podman/podman.sock "$mine/podman/podman.sock"; do
        if [ -S "$one" ]; then
            printf 'unix://%s' "$one"
            return
        fi
    done
    address= # the context that the docker command would use
    if have docker; then docker_said context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null; fi
}

read_docker() {
    targets=
    inspected=
    version=
    address=$(engine_address)
    socket=${address#unix://}
    if [ "$socket" = "$address" ] && [ -n "$address" ]; then
        # Its containers are another machine's: the devices, rules and processes of this one say nothing of them.
        say "failed docker the engine is elsewhere: $(without_password "$address")"
    elif ! have awk; then
        say "missing docker/containers.json awk"
    elif [ -n "$socket" ] && [ ! -e "$socket" ]; then
        say "failed docker there is no Docker engine on unix://$socket"
    elif [ -n "$socket" ] && { [ ! -r "$socket" ] || [ ! -w "$socket" ]; }; then
        say "failed docker no permission to use unix://$socket"
    elif [ -n "$socket" ] && have curl; then
        docker_by_api
    elif have docker; then
        docker_by_command
    elif [ -n "$socket" ]; then
        say "missing docker/containers.json curl"
    else
        say "failed docker there is no Docker engine on unix:///var/run/docker.sock"
    fi
    targets=$(printf '%s\n' "$inspected" | sed -n 's/^T //p')
    [ -z "$version" ] || file host/engine-kernel.txt engine_kernel
}

# Whether the engine runs on the kernel that is read here: not where it names another one; surely where a process of one of
# its containers is here; else nothing is said.
engine_kernel() {
    theirs=$(shown "$version" | sed -n 's/.*"KernelVersion" *: *"\([^"]*\)".*/\1/p')
    { read -r ours </proc/sys/kernel/osrelease; } 2>/dev/null || ours=$theirs
    if [ "${theirs:-$ours}" != "$ours" ]; then
        shown "another it runs on kernel $theirs, this machine on $ours"
        return
    fi
    shown "$targets" | while read -r id pid rest; do
        if [ -n "$pid" ] && belongs; then
            shown here
            break
        fi
    done
}

# An address without what stands before its @.
without_password() {
    case $1 in
    *@*) printf '%s' "${1%%://*}://${1##*@}" ;;
    *) printf '%s' "$1" ;;
    esac
}

docker_by_api() {
    since=$(date +%s) # what happens from now on may not be in its answers
    # An engine that does not answer now is not waited for five times.
    if ! version=$(api /version 2>&1); then
        say "failed docker the engine on unix://$socket: $(last_line "$version")"
        version=
        return
    fi
    say "events $since"
    file docker/version.json filtered shown "$version"
    file docker/info.json filtered api /info
    file docker/networks.json filtered api /networks
    file docker/containers.json filtered api '/containers/json?all=1'
    inspected=$(inspect_by_api)
    file docker/inspect.jsonl ended "$?"
}

# Every container over one connection.
inspect_by_api() {
    listed=$(api '/containers/json?all=1') || return
    urls=$(printf '%s\n' "$listed" | awk -F '"Id": *"' '{
        for (at = 2; at <= NF; at++)
            if (match($at, /^[0-9a-f]+"/))
                print "url = \"http://localhost/containers/" substr($at, 1, RLENGTH - 1) "/json\""
    }') || return
    [ -n "$urls" ] || return 0
    # shellcheck disable=SC2086 # as above
    printf '%s\n' "$urls" |
        $long curl -q -s -f --noproxy '*' --max-time "$wait" --unix-socket "$socket" -w '\n%{http_code}\n' -K - |
        awk "$filter"
}

# The documents that were kept, and the status that asking for them had.
ended() {
    kept "$inspected" || return
    return "$1"
}

docker_by_command() {
    list='{"Id":{{json .ID}},"Names":[{{json (print "/" .Names)}}],"Image":{{json .Image}},"State":{{json .State}}'
    list="$list,\"Status\":{{json .Status}}}"
    if ! version=$(docker_said version --format '{{json .Server}}' 2>&1); then
        say "failed docker $(last_line "$version")"
        version=
        return
    fi
    file docker/version.json filtered shown "$version"
    file docker/info.json filtered docker_said info --format '{{json .}}'
    file docker/networks.jsonl networks_by_command
    file docker/containers.jsonl filtered docker_said ps -a --no-trunc --format "$list"
    inspected=$(inspect_by_command)
    file docker/inspect.jsonl ended "$?"
}

# shellcheck disable=SC2086 # as above
docker_said() { DOCKER_HOST=$address $limit docker "$@"; }

networks_by_command() {
    ids=$(docker_said network ls -q --no-trunc) || return
    # shellcheck disable=SC2086 # hexadecimal ids
    [ -z "$ids" ] || filtered docker_said network inspect --format '{{json .}}' $ids
}

# A container that went meanwhile makes the command fail; it fails for all when it says nothing.
inspect_by_command() {
    ids=$(docker_said ps -aq --no-trunc) || return
    [ -n "$ids" ] || return 0
    # shellcheck disable=SC2086 # hexadecimal ids
    found=$(docker_said inspect --type container --format '{{json .}}' $ids)
    status=$?
    [ -n "$found" ] || return "$status"
    printf '%s\n' "$found" | awk "$filter"
}

# --- the kernel -------------------------------------------------------------------------------------------------------

# read_links, read_routes, read_neighbours, read_drops and ask_trace follow at the end: they are made of netdash's table of sources.

read_rules() {
    ask rules/nft.json nft -j -a list ruleset
    rules_of iptables /proc/net/ip_tables_names
    rules_of ip6tables /proc/net/ip6_tables_names
}

# The -save tools show tables and make none; those of iptables-legacy are only asked for when the kernel names them.
rules_of() {
    legacy=
    { while read -r name; do legacy="$legacy $name"; done <"$2"; } 2>/dev/null
    [ -z "$legacy" ] || ask "rules/$1-legacy-save.txt" "$1-legacy-save" -c
    if have "$1-nft-save"; then
        ask "rules/$1-save.txt" "$1-nft-save" -c
    elif [ -z "$legacy" ] || ! have "$1-legacy-save"; then
        ask "rules/$1-either.txt" "$1-save" -c
    fi
}

# From the kernel where Python is; the names of processes, which ss prints as they are, can look like its own words.
# To look at the descriptors of all processes costs more than all else: they are asked again when a socket came or went,
# and whenever the engine is, because a socket may have been handed on.
read_listeners() {
    heard=$(ss=$(path_to ss) && $limit "$ss" -Hltnue 2>/dev/null) || heard=
    if [ -n "$heard" ] && [ "$heard" = "${heard_before:-}" ]; then
        file host/listeners.txt shown "$sockets_listed"
    elif heard_before=$heard && sockets_listed=$(listed_by_python); then
        file host/listeners.txt shown "$sockets_listed"
    else
        heard_before=
        ask host/listeners.txt ss -Hltnup
    fi
}

# shellcheck disable=SC2086 # the limit is a command and its argument, or nothing
listed_by_python() {
    python=$(path_to python3) && [ -n "${sockets:-}" ] && $limit "$python" -I -S -c "$sockets" 2>/dev/null
}

read_sysctls() { file host/sysctl.txt sysctls; }

sysctls() { eval "$sysctl_files" | sysctl_lines; }

# Of the network namespace of the shell that runs it.
sysctl_files='
    cd /proc/sys/net && grep -sH "" ipv4/ip_forward ipv4/ip_local_port_range ipv4/ip_unprivileged_port_start \
        ipv4/icmp_echo_ignore_all ipv4/icmp_echo_ignore_broadcasts ipv6/icmp/echo_ignore_all \
        netfilter/nf_conntrack_tcp_loose netfilter/nf_conntrack_count netfilter/nf_conntrack_max \
        netfilter/nf_conntrack_tcp_timeout_syn_sent netfilter/nf_conntrack_tcp_timeout_syn_recv \
        netfilter/nf_conntrack_udp_timeout netfilter/nf_conntrack_icmp_timeout netfilter/nf_conntrack_icmpv6_timeout \
        netfilter/nf_conntrack_acct netfilter/nf_conntrack_timestamp bridge/bridge-nf-call-* \
        ipv4/conf/*/forwarding ipv4/conf/*/rp_filter ipv4/conf/*/route_localnet \
        ipv4/conf/*/accept_local ipv4/conf/*/src_valid_mark ipv4/conf/*/ignore_routes_with_linkdown \
        ipv4/conf/*/proxy_arp ipv4/conf/*/arp_ignore ipv4/conf/*/arp_filter \
        ipv6/conf/*/forwarding ipv6/conf/*/disable_ipv6 ipv6/conf/*/proxy_ndp ipv6/conf/*/accept_ra'

# `net.NAME = VALUE` a line; the dots of a device's own name are slashes, as sysctl prints it.
sysctl_lines() {
    awk '{
        at = index($0, ":")
        count = split(substr($0, 1, at - 1), word, "/")
        told = substr($0, at + 1)
        gsub(/\t/, " ", told)
        if (count == 4) gsub(/\./, "/", word[3])
        name = "net"
        for (each = 1; each <= count; each++) name = name "." word[each]
        print name " = " told
    }
    END { exit !NR }'
}

read_proxies() {
    for tool in awk ls sort tr; do
        if ! have "$tool"; then
            say "missing host/docker-proxy.txt $tool"
            return
        fi
    done
    if ! { read -r name </proc/1/comm; } 2>/dev/null; then
        say "failed proxies /proc hides the processes of other users (hidepid)"
        return
    fi
    if ! find_processes; then
        say "failed proxies the arguments of processes cannot be read: tr fails"
    elif proxies=$(proxies_here 2>&1); then
        file host/docker-proxy.txt proxy_lines
        file host/memory.txt proxy_sizes
        file host/process-owner.txt process_owners
        file host/stopped.txt stopped_processes
    else
        say "failed proxies the network namespaces of processes cannot be read: $(last_line "$proxies")"
    fi
}

# Netdash's own records on this host, as far as this user may read them.
read_own_records() {
    if [ "$uid" = 0 ]; then
        state=/var/lib/netdash
        run=/run/netdash
    else
        state=${XDG_STATE_HOME:-${HOME:-}/.local/state}/netdash
        run=${XDG_RUNTIME_DIR:-/nowhere}/netdash
    fi
    records host/kept.txt kept_until "${NETDASH_STATE_DIR:-$state}"/journal/*.jsonl
    records host/waiting.txt waiting_ports "${NETDASH_STATE_DIR:-$run}"/published/*.json
}

# PATH FUNCTION FILE…: what the function prints of the files that can be read; nothing where there is none.
records() {
    path=$1
    say_of=$2
    shift 2
    for each in "$@"; do
        shift
        [ ! -f "$each" ] || [ ! -r "$each" ] || set -- "$@" "$each"
    done
    [ $# = 0 ] || file "$path" "$say_of" "$@"
}

# `PROTO ADDRESS PORT CONTAINER_PORT CONTAINER_ID` a line: ports of forwards that wait, or whose process is gone.
waiting_ports() {
    read -r boot </proc/sys/kernel/random/boot_id
    awk -v boot="$boot" -v now="$(date +%s)" '
        function value() { sub(/^[^:]*: "?/, ""); sub(/"?,?$/, ""); return $0 }
        function alive(line, file, word) {
            file = "/proc/" pid "/stat"
            line = ""
            if (pid != "") { getline line < file; close(file) }
            sub(/^.*\) /, "", line)
            split(line, word)
            return word[20] "" == ticks "" && word[1] !~ /[ZX]/
        }
        function tell(each, here) {
            here = pid != "" && alive()
            if (here && (begun == boot || over()) ? phase == "waiting" : !over())
                for (each = 1; each <= count; each++) print port[each], id
        }
        function over() { return until ~ /^[0-9.]+$/ && now + 0 >= until + 0 }
        FNR == 1 {
            if (NR > 1) tell()
            count = parts = 0
            id = phase = begun = until = pid = ticks = ""
        }
        /^ "container_id": / { id = value(); next }
        /^ "phase": / { phase = value(); next }
        /^ "boot": / { begun = value(); next }
        /^ "until": / { until = value(); next }
        /^  "pid": / { pid = value(); next }
        /^  "ticks": / { ticks = value(); next }
        /^   "(proto|host_ip|host_port)": / { part[++parts % 3] = value(); next }
        /^   "container_port": / { port[++count] = part[1] " " part[2] " " part[0] " " value(); parts = 0 }
        END { if (NR) tell() }' "$@"
}

# `ID UNTIL` a line: the old containers that netdash keeps, and when it removes them; `-` while a change is not finished.
kept_until() {
    awk '
        function number(text) { sub(/^[^:]*: /, "", text); return text + 0 }
        FNR == 1 {
            id = ""
            if (match($0, /"old_id": "[0-9a-f]+"/)) id = substr($0, RSTART + 11, RLENGTH - 12)
            grace = match($0, /"grace": [0-9.]+/) ? number(substr($0, RSTART, RLENGTH)) : ""
            if (id != "") until[id] = "-"
        }
        id != "" && /^\{"settled": [0-9.]+\}/ && grace != "" { until[id] = sprintf("%.0f", int(number($0) + grace)) }
        id != "" && /^\{"undoing": / { until[id] = "-" }
        END { for (id in until) print id, until[id] }' "$@" | sort
}

# Sets `holders`, the processes that may hold ports, and `seen`, a file of each that may be a proxy.
find_processes() {
    holders=
    seen=
    for each in /proc/[0-9]*; do
        { read -r name <"$each/comm"; } 2>/dev/null || continue
        case $name in
        docker-proxy | netdash-proxy) seen="$seen $each/net/tcp" ;;
        dockerd | rootlesskit | conmon) ;;
        '' | *[!0-9]*) continue ;;
        *) # started by its descriptor, and has the number of that for its name
            arguments "${each#/proc/}" || return
            case $told in
            'netdash-proxy '*) seen="$seen $each/net/tcp" ;;
            *) continue ;;
            esac
            ;;
        esac
        holders="$holders ${each#/proc/}"
    done
}

# Sets `told` to the command line of a process, "" when it is gone; fails when it is there and cannot be read.
arguments() {
    { told=$(tr '\000\n\r' '   ' <"/proc/$1/cmdline"); } 2>/dev/null || {
        told=
        [ ! -e "/proc/$1/cmdline" ]
    }
}

# The proxies of this network namespace: each has one inode for its tcp file, which anyone may see.
proxies_here() {
    [ -n "$seen" ] || return 0
    # It also fails when one of them has ended meanwhile: what it lists tells whether it works.
    # shellcheck disable=SC2012,SC2086 # paths under /proc
    listed=$(ls -i /proc/net/tcp $seen 2>/dev/null)
    listed=$(printf '%s\n' "$listed" | awk '
        { inode[$2] = $1 }
        END {
            if (!("/proc/net/tcp" in inode)) exit 1
            for (path in inode)
                if (inode[path] == inode["/proc/net/tcp"] && split(path, word, "/") == 5) print word[3]
        }') || return
    printf '%s\n' "$listed" | sort -n
}

# `PID PPID ARGV` a line.
proxy_lines() {
    lines=
    for each in $proxies; do
        arguments "$each" || return
        lines="$lines$each $told
"
    done
    printf '%s' "$lines" | awk "$status"'
        NF > 1 && (parent = status($1, "PPid:")) != "" {
            pid = $1
            sub(/^[0-9]+ /, "")
            sub(/ +$/, "")
            print pid, parent, $0
        }'
}

# `PID BYTES` a line.
proxy_sizes() {
    # shellcheck disable=SC2086 # numbers
    [ -z "$proxies" ] || printf '%s\n' $proxies |
        awk "$status"'(size = status($1, "VmRSS:")) != "" { printf "%s %.0f\n", $1, size * 1024 }'
}

# `PID UID UID:MODE USER` a line: who runs it, and whose file its executable is. The collector's own is `self`.
process_owners() {
    printf 'self %s - %s\n' "$uid" "$(id -un 2>/dev/null || printf '%s' "$uid")"
    [ -n "$holders" ] || return 0
    {
        awk -F : '$3 ~ /^[0-9]+$/ { print "U", $3, $1 }' /etc/passwd
        # shellcheck disable=SC2046,SC2086 # numbers
        stat -L -c 'E %u:%a %n' $(printf '/proc/%s/exe ' $holders)
        # shellcheck disable=SC2086 # numbers
        printf 'P %s\n' $holders
    } 2>/dev/null | awk "$status"'
        $1 == "U" && !($2 in user) { user[$2] = $3 }
        $1 == "E" && split($3, word, "/") == 4 { executable[word[3]] = $2 }
        $1 == "P" && (id = status($2, "Uid:")) != "" {
            print $2, id, $2 in executable ? executable[$2] : "-", id in user ? user[id] : id
        }'
}

# `PID` a line, of those that are stopped.
stopped_processes() {
    # shellcheck disable=SC2086 # numbers
    [ -z "$holders" ] || printf '%s\n' $holders | awk "$status"'status($1, "State:") == "T"'
}

# A word of /proc/PID/status; nothing when the process is gone.
# shellcheck disable=SC2016 # awk's own $
status='function status(pid, name, file, line, found, word) {
    file = "/proc/" pid "/status"
    while ((getline line < file) > 0)
        if (split(line, word) > 1 && word[1] == name) found = word[2]
    close(file)
    return found
}
'

# --- inside the containers --------------------------------------------------------------------------------------------

read_inside() {
    keep= # the files of all containers are one part
    each_container inside look_inside
}

# SOURCE FUNCTION: runs it for each container that can be looked into, those whose names are in `first` before others.
each_container() {
    began=$(date +%s)
    looked=0
    ip=$(path_to ip)
    ss=$(path_to ss)
    nft=$(path_to nft)
    # Whether a namespace can be entered is found out with the first one.
    enter=unknown
    in_order | while read -r id pid published networks name; do
        [ -n "$name" ] || continue
        looked=$((looked + 1))
        [ $((looked % 16)) != 0 ] || now=$(date +%s)
        if [ "$looked" -gt "$many" ] || [ $((${now:-$began} - began)) -gt "$inside_time" ]; then
            say "failed $1 only $((looked - 1)) containers were looked into: the collector has a limit"
            break
        fi
        belongs && "$2"
    done
}

in_order() {
    for turn in ${first:+first} others; do
        shown "$targets" | while read -r id pid published networks name; do
            is_first && found=first || found=others
            [ "$found" != "$turn" ] || shown "$id $pid $published $networks $name"
        done
    done
}

is_first() {
    for word in ${first:-}; do
        case $name in "$word") return 0 ;; esac
        case $id in "$word"*) [ ${#word} -lt 3 ] || return 0 ;; esac
    done
    return 1
}

# A process id that the engine tells may be another process by now: its control group names the container.
belongs() {
    {
        while read -r line; do
            case $line in *"$id"*) return 0 ;; esac
        done <"/proc/$pid/cgroup"
    } 2>/dev/null
    return 1
}

# What is asked in a container's network namespace, by the host's own tools: IP SS.
# shellcheck disable=SC2016 # the inner shell's own $
inner='
    [ -z "$1" ] || { echo "## addr.json"; "$1" -j -d addr || exit; }
    [ -z "$1" ] || { echo "## route.json"; "$1" -j -d route show table all || exit; }
    [ -z "$2" ] || { echo "## listeners.txt"; "$2" -Hltnu || exit; }'

may_enter() {
    if [ "$enter" = unknown ]; then
        enter=no
        [ "$uid" != 0 ] || ! nsenter -t "$pid" -n cat </dev/null 2>/dev/null || enter=yes
    fi
    [ "$enter" = yes ]
}

look_inside() {
    [ ! -r "/proc/$pid/ns/net" ] || file "containers/$name/netns.txt" readlink "/proc/$pid/ns/net"
    if may_enter; then
        # shellcheck disable=SC2086 # the limit is a command and its argument, or nothing
        file "containers/$name/inside.txt" $limit nsenter -t "$pid" -n sh -c "$inner" sh "$ip" "$ss"
        [ -z "$ss" ] || return
    fi
    wanted=
    [ "$published" = 0 ] || wanted='tcp tcp6 udp udp6'
    [ "$networks" -lt 2 ] || wanted="$wanted route"
    [ -z "$wanted" ] || file "containers/$name/proc-net.txt" proc_net
}

proc_net() {
    for each in $wanted; do
        if [ -r "/proc/$pid/net/$each" ]; then
            printf '## /proc/PID/net/%s\n' "$each"
            cat "/proc/$pid/net/$each"
        fi
    done
}

# --- what only the trace of one packet, and a recording, need ---------------------------------------------------------

# Nothing is asked that would load a module of the kernel, and no list of connections that takes seconds.
read_trace() {
    connections=0
    { read -r connections </proc/sys/net/netfilter/nf_conntrack_count; } 2>/dev/null
    ask_trace
    part trace look_at_each
}

# Whether the kernel has a module already; one without modules has what it has.
loaded() {
    [ "$1" != nf_conntrack_netlink ] || [ "$connections" -le 20000 ] || return
    [ -s /proc/modules ] || return 0
    [ -d "/sys/module/$1" ] || grep -q "^$1 " /proc/modules
}

look_at_each() {
    keep=
    each_container trace look_closely
}

# In a container's network namespace, by the host's own tools: IP NFT. What fails there is left out. These answers are
# JSON, in which no line break stands that could begin a part.
# shellcheck disable=SC2016 # the inner shell's own $
closely='
    answer() {
        part=$1
        shift
        told=$("$@" 2>/dev/null </dev/null) && printf "## %s\n%s\n" "$part" "$told"
    }
    [ -z "$1" ] || { answer rule4.json "$1" -j rule; answer rule6.json "$1" -6 -j rule; answer neigh.json "$1" -j neigh; }
    [ -z "$2" ] || answer nft.json "$2" -j -a list ruleset
    true'

# A file of /etc in a container: PID NAME. A link could lead out of it, to a file of the host: what was opened must lie in
# one of the container`s own mounts.
# shellcheck disable=SC2016 # the inner shell's own $
of_etc='
    path=/proc/$1/root/etc
    [ ! -h "$path" ] && [ ! -h "$path/$2" ] && [ -f "$path/$2" ] && exec 5<"$path/$2" || exit 1
    mount=$(sed -n "s/^mnt_id:[^0-9]*//p" /proc/self/fdinfo/5) && [ -n "$mount" ] || exit 1
    grep -q "^$mount " "/proc/$1/mountinfo" && head -c 65536 <&5'

# shellcheck disable=SC2086 # the limit is a command and its argument, or nothing
look_closely() {
    [ "$looked" -le "${few:-$many}" ] && may_enter || return
    inner_rules=$($limit nsenter -t "$pid" -n sh -c "$closely" sh "$ip" "$nft")
    file "containers/$name/inside-trace.txt" shown "$inner_rules"
    for family in ip:iptables ip6:ip6tables; do
        tool=${family#*:}
        family=${family%:*}
        case $inner_rules in
        *"\"family\": \"$family\""*'"xt"'*) inner_save save "$tool-nft-save" ;;
        esac
        { read -r registered <"/proc/$pid/net/${family}_tables_names"; } 2>/dev/null || registered=
        [ -z "$registered" ] || inner_save legacy-save "$tool-legacy-save"
    done
    file "containers/$name/sysctl.txt" inner_sysctls
    for each in resolv.conf hosts; do
        file "containers/$name/$each" $limit sh -c "$of_etc" sh "$pid" "$each"
    done
}

# shellcheck disable=SC2086 # as above
inner_save() {
    found=$(path_to "$2") && file "containers/$name/$tool-$1.txt" $limit nsenter -t "$pid" -n "$found" -c
}

# shellcheck disable=SC2086 # as above
inner_sysctls() { $limit nsenter -t "$pid" -n sh -c "$sysctl_files" | sysctl_lines; }

# --- all of it --------------------------------------------------------------------------------------------------------

# The limit of one tool, and of many calls of the engine, where there is `timeout` (in busybox' old manner too).
return=$(printf '\r')
limit=
long=
if timeout 5 cat </dev/null 2>/dev/null; then
    limit='timeout 5'
    long='timeout 30'
elif timeout -t 5 cat </dev/null 2>/dev/null; then
    limit='timeout -t 5'
    long='timeout -t 30'
fi
uid=$(id -u)

privileges() {
    caps=$(sed -n 's/^CapEff:[^0-9a-f]*//p' /proc/self/status 2>/dev/null)
    if [ "$uid" = 0 ]; then printf 1; else printf '%s' $((0x${caps:-0} >> 12 & 1)); fi
}

# What the engine tells since the last time that it was asked for all: `pid` of who listens, its events, `ended STATUS`.
engine_events() {
    types='%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D'
    # shellcheck disable=SC2016 # the inner shell's own $
    sh -c 'echo "pid $$"; exec "$@"' sh curl -q -s -f -N --noproxy '*' --max-time "$1" --unix-socket "$socket" \
        "http://localhost/events?since=$since&filters=$types"
    echo "ended $?"
}

# Whether the engine's answers may have changed, after at most so many seconds: 1, 0, or ? when it tells no events.
changed() {
    engine_events "$1" </dev/null 2>/dev/null | while read -r word rest; do
        case "$word $rest" in
        pid*) listening=$rest ;;
        'ended 28') printf 0 ;; # its time was over
        ended*) printf '?' ;;
        *'"Action":"exec'* | *'"Action":"top"'* | *'"Action":"kill"'*) ;; # health checks send them all the time, and they change nothing that is shown
        *)
            printf 1
            kill "$listening"
            break
            ;;
        esac
    done
}

# MARK SECONDS: waits until the engine tells of a change, at most so long.
await() {
    mark=$1
    printf '\n'
    say "changed $(changed "$2")"
    say "done"
}

# MARK SOURCE…
collect() {
    mark=$1
    shift
    printf '\nnetdash-collector 1 %s\n' "$mark"
    say "asked $*"
    say "host $(cat /proc/sys/kernel/hostname 2>/dev/null)"
    say "taken $(date +%s)"
    say "privileged $(privileges)"
    for source in "$@"; do
        say "source $source"
        case $source in
        docker)
            heard_before=
            read_docker
            ;;
        links) read_links ;;
        routes) read_routes ;;
        neighbours) read_neighbours ;;
        rules) read_rules ;;
        proxies)
            read_own_records
            read_proxies
            ;;
        listeners) read_listeners ;;
        sysctls) read_sysctls ;;
        inside) part inside read_inside ;;
        drops) read_drops ;;
        trace) read_trace ;;
        esac
    done
    say "done"
}
