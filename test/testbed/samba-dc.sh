#!/bin/bash
# samba-dc.sh - a private Samba Active Directory DC on one loopback address: Kerberos + NTLM + LDAP in one test server.
#
#   samba-dc.sh start DIR [--ip 127.0.0.10] [--realm MEDV.TEST] [--domain MEDV] [--spn HTTP/localhost]... [--user NAME:PASSWORD]...
#   samba-dc.sh ticket DIR NAME PASSWORD [CCACHE]   Kerberos ticket for a user
#   samba-dc.sh tool DIR ARGS...                    samba-tool against this DC (user, group, spn, ...)
#   samba-dc.sh modify DIR <LDIF                    changes in the directory's database
#   samba-dc.sh env DIR | status DIR | stop DIR | destroy DIR
#
# start is idempotent: the second start of a stopped DIR reuses the database. Two DCs can run side by side on different --ip.
# DIR/ntlm_auth is a wrapper that runs Samba's ntlm_auth against this DC's winbindd (it needs a mount namespace because the
# client library has its socket folder compiled in). DIR/http.keytab holds the SPN keys (AES), DIR/krb5.conf the client set-up.
# Needs root (ports 53, 88, 389, 445, trusted xattrs). DIR should be a short path (unix sockets) on ext4/xfs, not on overlayfs without xattrs.
# Debian packages: samba samba-dsdb-modules samba-vfs-modules samba-ad-provision winbind smbclient ldb-tools krb5-user
set -eu
die() { echo "samba-dc.sh: $*" >&2; exit 1; }
PATH=$PATH:/usr/sbin:/sbin
need() {
  local m=() p
  for p in samba:samba samba-tool:samba ntlm_auth:winbind winbindd:winbind ldbmodify:ldb-tools kinit:krb5-user openssl:openssl unshare:util-linux; do
    command -v "${p%%:*}" >/dev/null || m+=("${p#*:}"); done
  [ -d /usr/share/samba/setup ] || m+=(samba-ad-provision)
  ls /usr/lib/*/samba/ldb/samba_dsdb.so >/dev/null 2>&1 || m+=(samba-dsdb-modules)
  ls /usr/lib/*/samba/vfs/acl_xattr.so >/dev/null 2>&1 || m+=(samba-vfs-modules)
  [ ${#m[@]} -eq 0 ] || die "missing Debian package(s): $(printf '%s\n' "${m[@]}" | sort -u | tr '\n' ' ') - apt-get install samba samba-dsdb-modules samba-vfs-modules samba-ad-provision winbind smbclient ldb-tools krb5-user"
  [ "$(id -u)" = 0 ] || die "must run as root"
}
[ $# -ge 2 ] || { sed -n '2,16p' "$0"; exit 2; }
CMD=$1; DIR=$2; shift 2
[ "$CMD" != start ] || mkdir -p "$DIR"
[ -d "$DIR" ] || die "no such directory: $DIR"
DIR=$(cd "$DIR" && pwd); CONF=$DIR/smb.conf
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }   # start time: a pid alone could have been reused
alive() { [ -s "$DIR/run/holder" ] && read -r HP HB <"$DIR/run/holder" && [ "$(born "$HP")" = "$HB" ]; }
envs() { cat "$DIR/dc.env"; }
halt() {
  if alive; then
    local p=$HP groups g any
    groups="$p $(cat "$DIR/run/winbindd.pid" "$DIR/run/smbd.pid" 2>/dev/null | tr '\n' ' ')"
    kill -TERM "$p" 2>/dev/null || true
    for _ in $(seq 100); do
      any=; for g in $groups; do kill -0 -- "-$g" 2>/dev/null && any=1; done
      [ -n "$any" ] || break; sleep 0.1
    done
    for g in $groups; do kill -KILL -- "-$g" 2>/dev/null || true; done
  fi
  rm -f "$DIR/run/holder" "$DIR"/run/*.pid; }
case $CMD in
start)
  need
  IP=127.0.0.10 REALM=MEDV.TEST DOM=MEDV SPNS=() USERS=()
  while [ $# -gt 0 ]; do case $1 in --ip) IP=$2;; --realm) REALM=$2;; --domain) DOM=$2;; --spn) SPNS+=("$2");; --user) USERS+=("$2");; *) die "unknown option $1";; esac; shift 2; done
  [ ${#SPNS[@]} -gt 0 ] || SPNS=(HTTP/localhost)
  [ ${#USERS[@]} -gt 0 ] || USERS=("alice:Alice-Pw1" "bob:Bob-Pw1")
  if alive; then echo "ready (already running, pid $HP)"; envs; exit 0; fi
  [ ${#DIR} -le 80 ] || die "path of DIR is too long for unix sockets: $DIR"
  if (exec 3<>"/dev/tcp/$IP/389") 2>/dev/null; then die "something already listens on $IP:389, choose another --ip"; fi
  mkdir -p "$DIR/run/winbindd" "$DIR/cache"; chmod 755 "$DIR/run" "$DIR/run/winbindd"
  if [ ! -f "$DIR/provisioned" ]; then
    rm -rf "$DIR/private" "$DIR/state" "$DIR/bind-dns" "$DIR/etc"
    : >"$DIR/prov.conf"
    samba-tool domain provision --configfile="$DIR/prov.conf" --realm="$REALM" --domain="$DOM" --server-role=dc --dns-backend=SAMBA_INTERNAL \
      --adminpass="Adm1n-$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')" --targetdir="$DIR" --host-name=dc1 --host-ip="$IP" \
      --option="interfaces=$IP/8" --option="bind interfaces only=yes" >"$DIR/provision.log" 2>&1 || { tail -5 "$DIR/provision.log" >&2; die "provision failed"; }
  fi
  if [ ! -s "$DIR/tls/dc.pem" ]; then   # LDAPS under a CA of its own: Samba's own certificate names no address and takes seconds to make
    mkdir -p "$DIR/tls"; chmod 700 "$DIR/tls"
    { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$DIR/tls/ca.key" -out "$DIR/tls/ca.pem" -days 2 \
        -subj "/CN=$DOM test CA" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$DIR/tls/dc.key" -out "$DIR/tls/dc.csr" -subj "/CN=dc1.${REALM,,}"
      printf 'subjectAltName=DNS:dc1.%s,IP:%s\nextendedKeyUsage=serverAuth\n' "${REALM,,}" "$IP" >"$DIR/tls/dc.ext"
      openssl x509 -req -in "$DIR/tls/dc.csr" -CA "$DIR/tls/ca.pem" -CAkey "$DIR/tls/ca.key" -CAcreateserial -days 2 -extfile "$DIR/tls/dc.ext" -out "$DIR/tls/dc.pem"
    } >"$DIR/tls.log" 2>&1 || { tail -5 "$DIR/tls.log" >&2; die "no certificate for LDAPS"; }
    chmod 600 "$DIR"/tls/*.key
  fi
  cat >"$CONF" <<E
[global]
 netbios name = DC1
 realm = $REALM
 workgroup = $DOM
 server role = active directory domain controller
 server services = ldap, kdc, rpc, winbindd, s3fs, dns
 interfaces = $IP/8
 bind interfaces only = yes
 disable netbios = yes
 private dir = $DIR/private
 lock directory = $DIR
 state directory = $DIR/state
 tls keyfile = $DIR/tls/dc.key
 tls certfile = $DIR/tls/dc.pem
 tls cafile = $DIR/tls/ca.pem
 cache directory = $DIR/cache
 pid directory = $DIR/run
 ncalrpc dir = $DIR/run/ncalrpc
 winbindd socket directory = $DIR/run/winbindd
 ntp signd socket directory = $DIR/run/ntp
 binddns dir = $DIR/bind-dns
 logging = file
 log file = $DIR/log.%m
 log level = 1
 load printers = no
 printing = bsd
 printcap name = /dev/null
 ldap server require strong auth = no
 ntlm auth = ntlmv2-only
 dns forwarder = 0.0.0.0
 allow dns updates = disabled
[sysvol]
 path = $DIR/state/sysvol
 read only = no
E
  cat >"$DIR/krb5.conf" <<E
[libdefaults]
 default_realm = $REALM
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 default_ccache_name = FILE:$DIR/ccache
 default_keytab_name = FILE:$DIR/http.keytab
[realms]
 $REALM = {
  kdc = $IP
 }
[domain_realm]
 localhost = $REALM
 .${REALM,,} = $REALM
E
  if [ ! -f "$DIR/provisioned" ]; then
    { samba-tool domain passwordsettings set --complexity=off --min-pwd-length=4 --min-pwd-age=0 --history-length=0 -s "$CONF"
      samba-tool user create svcmedv "Svc-$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')" -s "$CONF"
      base=DC=$(echo "${REALM,,}" | sed 's/\./,DC=/g')
      # AES keys only: without this the exported keytab would hold RC4 alone
      printf 'dn: CN=svcmedv,CN=Users,%s\nchangetype: modify\nreplace: msDS-SupportedEncryptionTypes\nmsDS-SupportedEncryptionTypes: 24\n' "$base" | ldbmodify -H "$DIR/private/sam.ldb"
      samba-tool user setpassword svcmedv --newpassword="Svc-$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')" -s "$CONF"
      for s in "${SPNS[@]}"; do samba-tool spn add "$s" svcmedv -s "$CONF"; done
      rm -f "$DIR/http.keytab"
      for s in "${SPNS[@]}"; do samba-tool domain exportkeytab "$DIR/http.keytab" --principal="$s" -s "$CONF"; done
      for u in "${USERS[@]}"; do samba-tool user create "${u%%:*}" "${u#*:}" -s "$CONF"; done
    } >"$DIR/setup.log" 2>&1 || { tail -5 "$DIR/setup.log" >&2; die "set-up failed"; }
    [ -s "$DIR/http.keytab" ] || die "no keytab, see $DIR/setup.log"
    touch "$DIR/provisioned"
  fi
  cat >"$DIR/ntlm_auth" <<E
#!/bin/sh
mkdir -p /run/samba/winbindd
exec unshare -m sh -c 'mount --bind "$DIR/run/winbindd" /run/samba/winbindd && exec ntlm_auth --configfile="$CONF" "\$@"' ntlm_auth "\$@"
E
  chmod 755 "$DIR/ntlm_auth"
  cat >"$DIR/dc.env" <<E
KRB5_CONFIG=$DIR/krb5.conf
KRB5_KTNAME=$DIR/http.keytab
KRB5CCNAME=FILE:$DIR/ccache
KRB5_REALM=$REALM
LDAP_URL=ldap://$IP
LDAPS_URL=ldaps://$IP
LDAP_CA=$DIR/tls/ca.pem
NTLM_AUTH=$DIR/ntlm_auth
AD_DOMAIN=$DOM
E
  setsid samba -i -M standard -s "$CONF" >"$DIR/samba.out" 2>&1 </dev/null &
  H=$!
  sleep 0.2; echo "$H $(born $H)" >"$DIR/run/holder"
  for _ in $(seq 300); do
    kill -0 $H 2>/dev/null || { tail -5 "$DIR/samba.out" >&2; die "samba exited"; }
    if (exec 3<>"/dev/tcp/$IP/389") 2>/dev/null && (exec 3<>"/dev/tcp/$IP/88") 2>/dev/null && [ -S "$DIR/run/winbindd/pipe" ] \
       && echo "YR TlRMTVNTUAABAAAAB4II4gAAAAAAAAAAAAAAAAAAAAAGAbEdAAAADw==" | timeout 5 "$DIR/ntlm_auth" --helper-protocol=squid-2.5-ntlmssp 2>&1 | grep -q '^TT '; then
      echo "ready pid $H realm $REALM on $IP"; envs; exit 0; fi
    sleep 0.1
  done
  halt; die "samba did not come up, see $DIR/samba.out" ;;
ticket) need; [ $# -ge 2 ] || die "ticket DIR NAME PASSWORD [CCACHE]"; cc=${3:-$DIR/ccache}
  KRB5_CONFIG=$DIR/krb5.conf KRB5CCNAME=FILE:$cc kinit "$1" >/dev/null <<<"$2" || die "kinit failed for $1"; echo "KRB5CCNAME=FILE:$cc" ;;
tool) need; exec samba-tool "$@" -s "$CONF" ;;
modify) need; exec ldbmodify -H "$DIR/private/sam.ldb" ;;
env) envs ;;
status) if alive; then echo "running pid $HP"; else echo stopped; exit 3; fi ;;
stop) halt; echo stopped ;;
destroy) halt; rm -rf "$DIR"; echo destroyed ;;
*) die "unknown command $CMD" ;;
esac
