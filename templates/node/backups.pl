# Prints what a node can fall back on, one record a line: its storages and, given the word
# `backups`, the complete backups of containers that are on them. Values are percent-encoded.
#
#   now TIME                      the node's clock; every TIME is UTC, 2026-11-22T01:30:00Z
#   storage NAME TYPE             one that this node may use
#   backup CTID TIME NAME         NAME: the storage that it is on
#   problem TEXT                  a storage that could not be asked
use strict;
use warnings;
use POSIX qw(mktime strftime);

my $root = $ENV{PHOENIX_ROOT} // "";
my $patience = $ENV{PHOENIX_PATIENCE} // 60;
my $list = grep { $_ eq "backups" } @ARGV;
$| = 1;

sub slurp {
    my ($path) = @_;
    open(my $file, "<:raw", $path) or return "";
    local $/;
    return <$file> // "";
}

sub encode {
    my ($data) = @_;
    $data =~ s/([^!-\$&-~])/sprintf("%%%02X", ord($1))/ge;
    return $data;
}

sub record { print(join(" ", map { encode($_) } @_), "\n") }
sub problem { record("problem", "storage $_[0]: $_[1]") }
sub utc { return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime($_[0])) }

# pve-common SectionConfig.pm and pve-storage Plugin.pm parse_config: `local` is always there
sub storages {
    my (%storage, $one);
    for (split(/\n/, slurp("$root/etc/pve/storage.cfg"))) {
        if (/^(\S+):\s*(\S+)\s*$/) {
            $one = $storage{$2} = { type => lc($1) };
        } elsif (/^\s*$/) {
            $one = undef;
        } elsif ($one && /^\s+([^\s#]\S*)(?:\s+(.*\S))?\s*$/) {
            $one->{$1} = $2 // 1;
        }
    }
    my $local = $storage{local};
    if (!$local || $local->{type} ne "dir" || ($local->{path} // "/var/lib/vz") ne "/var/lib/vz") {
        $local = $storage{local} = { type => "dir", content => "backup" };
    }
    $local->{path} = "/var/lib/vz";
    delete($local->{nodes});
    return \%storage;
}

sub has {
    my ($words, $word) = @_;
    return grep { $_ eq $word } split(/[\s,;]+/, $words // "");
}

# Runs code in a process of its own, so that a storage that hangs costs its time and no more.
# Returns whether it came to its end, and what it printed.
sub within_time {
    my ($code) = @_;
    my $pid = open(my $output, "-|");
    return (0, "cannot start a process: $!") if !defined($pid);
    if (!$pid) {
        open(STDERR, ">&", \*STDOUT);
        $code->();
        exit(0);
    }
    my @lines;
    my $ended = eval {
        local $SIG{ALRM} = sub { die "timeout\n" };
        alarm($patience);
        @lines = <$output>;
        alarm(0);
        1;
    };
    kill("KILL", $pid) if !$ended;
    my $fine = close($output);
    return (0, "no answer in $patience s") if !$ended;
    return ($fine, @lines);
}

# pve-storage Plugin.pm archive_info, of containers: vzdump writes `.dat` until it is complete.
# The time in the name is the node's own, as in its zone.
sub files {
    my ($path) = @_;
    opendir(my $dir, $path) or return;
    for my $name (sort readdir($dir)) {
        $name =~ /^vzdump-lxc-([1-9]\d{2,8})-(\d{4})_(\d\d)_(\d\d)-(\d\d)_(\d\d)_(\d\d)
            \.(?:tgz|tar(?:\.(?:gz|lzo|zst|bz2))?)$/x or next;
        -f "$path/$name" && -s _ or next;
        print("$1 ", utc(mktime($7, $6, $5, $4, $3 - 1, $2 - 1900, 0, 0, -1)), "\n");
    }
}

sub backups {
    my ($name, $storage) = @_;
    if (!defined($storage->{path}) && $storage->{type} =~ /^(nfs|cifs|cephfs|glusterfs)$/) {
        $storage->{path} = "/mnt/pve/$name";
    }
    my $path = $storage->{path};
    my ($fine, @lines);
    if (defined($path)) {
        my $mount = $storage->{is_mountpoint} // "no";
        $mount = $path if $storage->{type} ne "dir" && $storage->{type} ne "btrfs";
        $mount = $path if $mount =~ /^(1|yes|on|true)$/i;
        if ($mount =~ m{^/} && slurp("$root/proc/mounts") !~ /^\S+ \Q$mount\E /m) {
            return problem($name, "$mount is not mounted");
        }
        my ($dump) = ($storage->{"content-dirs"} // "") =~ /(?:^|[\s,;])backup=([^\s,;]+)/;
        $dump = "$root$path/" . ($dump // "dump");
        ($fine, @lines) = within_time(sub { files($dump) });
    } else {
        # Proxmox Backup Server above all: pvesm prints NAME:backup/ct/910/2026-11-20T02:00:00Z
        ($fine, @lines) = within_time(sub { exec("pvesm", "list", $name, "--content", "backup") });
        if ($fine) {
            my $volume = qr{^\S+:backup/ct/([1-9]\d{2,8})/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)(?=\s)};
            @lines = map { /$volume/ ? "$1 $2" : () } @lines;
        }
    }
    return problem($name, join(" ", map { split } @lines) || "cannot be listed") if !$fine;
    record("backup", split(" ", $_), $name) for @lines;
}

record("now", utc(time()));
my $node = (readlink("$root/etc/pve/local") // "") =~ m{([^/]+)$} ? $1 : "";
my $storages = storages();
for my $name (sort keys %$storages) {
    my $storage = $storages->{$name};
    my $content = $storage->{content} // ($storage->{type} eq "pbs" ? "backup" : "");
    next if ($storage->{disable} // "") =~ /^(1|yes|on|true)$/i;
    next if defined($storage->{nodes}) && !has($storage->{nodes}, $node);
    record("storage", $name, $storage->{type});
    backups($name, $storage) if $list && has($content, "backup");
}
