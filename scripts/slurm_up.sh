#!/usr/bin/env bash
# Start a real SLURM of one node on this machine, for tests: Debian's packages, no systemd, no cgroups, loopback only.
# Ends with "slurm ready"; a second call finds it running. `scripts/slurm_down.sh` stops it. Needs root.
# Partitions: cpu (default) and gpu (two fake GPUs). Memory and time limits are enforced, core counts are not.
set -euo pipefail
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
state=${GEMFOREST_SLURM_STATE:-/var/lib/gemforest-slurm}
cores=${GEMFOREST_SLURM_CORES:-8}
memory=${GEMFOREST_SLURM_MEMORY_MB:-16000}
conf=/etc/slurm/slurm.conf
mark="# gemforest test cluster"

fail() {
    echo "slurm_up: $*" >&2
    tail -n 15 "$state"/log/*.log >&2 2>/dev/null || true
    exit 1
}
running() { # NAME: whether the process that we noted under this name is alive and is that program
    local pid
    pid=$(cat "$state/run/$1.pid" 2>/dev/null) && [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ]
}
patiently() { # SECONDS COMMAND...: try until it succeeds
    local tries=$(($1 * 5))
    shift
    for _ in $(seq "$tries"); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    return 1
}

[ "$(id -u)" -eq 0 ] || fail "needs root"
if [ -e "$conf" ] && ! head -n 1 "$conf" | grep -qF "$mark"; then
    fail "$conf belongs to another cluster; this script leaves it alone"
fi
mkdir -p "$state"/{run,log,controller,node} /etc/slurm
packages=""
for pair in munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client; do
    command -v "${pair%%:*}" >/dev/null || packages="$packages ${pair##*:}"
done
if [ -n "$packages" ]; then
    install="apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $packages"
    export DEBIAN_FRONTEND=noninteractive
    $install >"$state/log/apt.log" 2>&1 </dev/null ||
        { apt-get update -qq >>"$state/log/apt.log" 2>&1 && $install >>"$state/log/apt.log" 2>&1 </dev/null; } ||
        fail "cannot install$packages"
fi

# munge: one that answers is used, else ours is started
answers() { munge -n | unmunge; }
if ! answers >/dev/null 2>&1; then
    install -d -o munge -g munge -m 0755 /run/munge
    install -d -o munge -g munge -m 0700 /etc/munge /var/log/munge /var/lib/munge
    [ -s /etc/munge/munge.key ] || head -c 1024 /dev/urandom >/etc/munge/munge.key
    chown munge:munge /etc/munge/munge.key
    chmod 0400 /etc/munge/munge.key
    # --force: folders above may be writable by a group where the machine is a container.
    setpriv --reuid=munge --regid=munge --init-groups munged --force >>"$state/log/munged.log" 2>&1 || fail "munged"
    patiently 10 answers || fail "munged does not answer"
    cp /run/munge/munged.pid "$state/run/munged.pid"
fi

cat >"$conf.new" <<CONF
$mark, written by slurm_up.sh
ClusterName=gemforest
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=16917
SlurmdPort=16918
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$state/controller
SlurmdSpoolDir=$state/node
SlurmctldPidFile=$state/run/slurmctld.pid
SlurmdPidFile=$state/run/slurmd.pid
SlurmctldLogFile=$state/log/slurmctld.log
SlurmdLogFile=$state/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
EnforcePartLimits=ALL
KillWait=5
MinJobAge=3600
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$memory Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes=localhost Default=YES DefaultTime=5 MaxTime=120 DefMemPerCPU=1000 State=UP
PartitionName=gpu Nodes=localhost DefaultTime=5 MaxTime=60 DefMemPerCPU=1000 State=UP
CONF
# A fake GPU must still be a character device.
ln -sfn /dev/null "$state/gpu0"
ln -sfn /dev/null "$state/gpu1"
echo "NodeName=localhost Name=gpu File=$state/gpu[0-1]" >/etc/slurm/gres.conf
if ! cmp -s "$conf.new" "$conf"; then
    for daemon in slurmd slurmctld; do
        ! running "$daemon" || kill "$(cat "$state/run/$daemon.pid")"
        patiently 15 eval "! running $daemon" || fail "$daemon does not stop"
    done
fi
mv "$conf.new" "$conf"

for daemon in slurmctld slurmd; do
    running "$daemon" || "$daemon" >>"$state/log/$daemon.log" 2>&1 </dev/null || fail "$daemon does not start"
done
patiently 20 sh -c "scontrol ping | grep -q UP" || fail "slurmctld does not answer"
node_is_up() { sinfo -h -N -o %t | grep -qxE "idle|mix|alloc"; }
if ! patiently 10 node_is_up; then
    scontrol update nodename=localhost state=resume 2>/dev/null || true
    patiently 20 node_is_up || fail "the node is $(sinfo -h -N -o '%t %E')"
fi
timeout 30 srun -Q -p cpu -t 1 true || fail "a trial job fails"
echo "slurm ready"
