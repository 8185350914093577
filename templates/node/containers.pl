# Prints what this node knows of its containers, one record a line; reads files only and starts
# no process. perl-base is enough. Values are percent-encoded, "-" stands for none.
#
#   node NAME
#   ct CTID running|stopped PID STARTED LABEL HA
#   conf CTID TEXT                the conf, byte for byte
#   live CTID FUSE KEYCTL TEXT    yes|no|- twice, then the configuration it was started with
#   ours CTID TEXT                what our runs brought into the conf, see phoenix/ours.py
#   wanted TEXT                   the labels that the node's watch looks for
#   elsewhere CTID NODE           a container of another node of the cluster
#   problem TEXT
use strict;
use warnings;

my $root = $ENV{PHOENIX_ROOT} // "";
my $pve = "$root/etc/pve";

sub slurp {
    my ($path) = @_;
    open(my $file, "<:raw", $path) or return undef;
    local $/;
    my $data = <$file>;
    return $data // "";
}

sub entries {
    my ($path) = @_;
    opendir(my $dir, $path) or return;
    return sort grep { !/^\./ } readdir($dir);
}

sub encode {
    my ($data) = @_;
    return "-" if !defined($data);
    $data =~ s/([^!-\$&-~])/sprintf("%%%02X", ord($1))/ge;
    return $data eq "-" ? "%2D" : $data;
}

sub ctids {
    my ($path) = @_;
    return sort { $a <=> $b } map { /^([1-9][0-9]{2,8})\.conf$/ ? $1 : () } entries($path);
}

sub node_name {
    for my $link ("$pve/local", "$pve/lxc") {
        return $1 if (readlink($link) // "") =~ m{nodes/([^/]+)};
    }
    my ($name) = (slurp("$root/proc/sys/kernel/hostname") // "") =~ /^([^.\s]+)/;
    return $name;
}

# ct:910 in ha/resources.cfg; without a state line the state is "started"
sub ha_states {
    my %state;
    my $ct;
    for (split(/\n/, slurp("$pve/ha/resources.cfg") // "")) {
        if (/^(\S+?):\s*(\S+)\s*$/) {
            $ct = $1 eq "ct" ? $2 : undef;
            $state{$ct} = "started" if defined($ct);
        } elsif (defined($ct) && /^\s+state\s+(\S+)/) {
            $state{$ct} = $1;
        }
    }
    return \%state;
}

# The first process of the container: number 1 in the pid namespace right below the node`s.
# In a Docker container inside it the same line has three numbers.
sub is_init {
    my ($pid) = @_;
    return (slurp("$root/proc/$pid/status") // "") =~ /^NSpid:\s+\d+\s+1\s*$/m;
}

# Searches breadth first, init.scope before its neighbours: with systemd inside, the answer is
# in the third directory. Returns the pid (or undef), and whether there is any process at all.
sub find_init {
    my ($ctid) = @_;
    my $cgroup = "$root/sys/fs/cgroup";
    my @dirs = grep { -d $_ } "$cgroup/lxc/$ctid", "$cgroup/lxc.payload.$ctid",
        "$cgroup/systemd/lxc/$ctid", "$cgroup/pids/lxc/$ctid";
    unshift(@dirs, grep { -d $_ } map { "$_/ns/init.scope" } @dirs);
    my $alive = 0;
    while (defined(my $dir = shift(@dirs))) {
        for my $pid (split(/\s+/, slurp("$dir/cgroup.procs") // "")) {
            $alive = 1;
            return ($pid, 1) if is_init($pid);
        }
        my @below = map { "$dir/$_" } entries($dir);
        @below = grep { !-l $_ && -d _ } @below;
        push(@dirs, sort { ($b =~ m{/init\.scope$}) <=> ($a =~ m{/init\.scope$}) } @below);
    }
    return (undef, $alive);
}

sub label {
    my ($pid) = @_;
    my $text = slurp("$root/proc/$pid/attr/apparmor/current");
    $text = slurp("$root/proc/$pid/attr/current") if !defined($text) || $text eq "";
    return undef if !defined($text);
    $text =~ s/[\0\s]+$//;
    return $text eq "" ? undef : $text;
}

my ($boot) = (slurp("$root/proc/stat") // "") =~ /^btime (\d+)/m;

# Seconds since the epoch. The second field of stat is a name and may hold blanks; the start
# is the 20th field after it, in hundredths of a second since boot.
sub started {
    my ($pid) = @_;
    my $stat = slurp("$root/proc/$pid/stat") // "";
    return undef if !defined($boot) || $stat !~ /^.*\) (.*)/s;
    my $ticks = (split(/ /, $1))[19];
    return defined($ticks) && $ticks =~ /^\d+$/ ? $boot + int($ticks / 100) : undef;
}

# Does the seccomp profile let keyctl pass? Proxmox writes "keyctl errno 38" unless the feature
# is on.
sub keyctl {
    my ($config) = @_;
    my ($profile) = $config =~ /^lxc\.seccomp\.profile\s*=\s*(\S+)\s*$/m or return "-";
    my $rules = slurp("$root$profile");
    return "-" if !defined($rules);
    return $rules =~ /^keyctl errno/m ? "no" : "yes";
}

my $node = node_name();
print("node ", encode($node), "\n");
if (!-d "$pve/lxc") {
    print("problem ", encode("no-pve: $pve/lxc is not there; is this a Proxmox VE node?"), "\n");
}

my $wanted = slurp("$root/var/lib/phoenix-harden/wanted");
print("wanted ", encode($wanted), "\n") if defined($wanted);

my $ha = ha_states();
my %here;
for my $ctid (ctids("$pve/lxc")) {
    my $conf = slurp("$pve/lxc/$ctid.conf");
    if (!defined($conf)) {
        # gone since the directory was read: not a container any more
        next if $!{ENOENT};
        print("problem ", encode("unreadable: $pve/lxc/$ctid.conf: $!"), "\n");
        next;
    }
    $here{$ctid} = 1;
    my ($pid, $alive) = find_init($ctid);
    my $known = defined($pid);
    print(join(" ", "ct", $ctid, $alive ? "running" : "stopped", encode($pid),
        map { encode($_) } $known ? started($pid) : undef, $known ? label($pid) : undef,
        $ha->{$ctid}), "\n");
    print("conf $ctid ", encode($conf), "\n");
    my $ours = slurp("$root/var/lib/phoenix-harden/containers/$ctid");
    print("ours $ctid ", encode($ours), "\n") if defined($ours);
    next if !$known;
    my $config = slurp("$root/var/lib/lxc/$ctid/config");
    my $fuse = -c "$root/proc/$pid/root/dev/fuse" ? "yes" : "no";
    print("live $ctid $fuse ", keyctl($config // ""), " ", encode($config), "\n");
}

for my $other (entries("$pve/nodes")) {
    next if defined($node) && $other eq $node;
    for my $ctid (ctids("$pve/nodes/$other/lxc")) {
        print("elsewhere $ctid ", encode($other), "\n") if !$here{$ctid};
    }
}
