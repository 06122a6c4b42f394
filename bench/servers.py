# SPDX-License-Identifier: MIT
"""What is compared: how each server is started, with the best settings found for one worker.

Every server answers the same three paths: /plaintext, /files/1m.bin and POST /count (which reads the
whole body). A server that cannot do a workload says why in skip(); nothing is left out silently.
"""
import os
import resource
import shutil
import subprocess

MAX_CONNECTIONS = 16000
POST_BYTES = 65536
STREAM_MESSAGES = 1000000  # as bench/grpc.c has it
FILE_BYTES = 1 << 20
HELLO = b"Hello, World!"


def is_tls(workload):
    return workload.kind.startswith("tls")


class Server:
    name = ""
    program = ""  # looked up in PATH
    counts_body = True  # POST /count answers the number of bytes; else it answers anything
    websocket = False  # it has an echo
    grpc = False       # … over gRPC
    quic = False       # it speaks HTTP/3
    echo = False       # it sends back bytes, or datagrams, as they are
    proxied = True     # where there are PROXY headers it reads them

    def __init__(self, build, tmp):
        self.build = build
        self.tmp = tmp
        self.www = os.path.join(tmp, "www")
        self.cert = os.path.join(tmp, "cert.pem")
        self.key = os.path.join(tmp, "key.pem")

    def find(self):
        path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        return shutil.which(self.program, path=path)

    def missing(self):
        return None if self.find() else f"{self.program} is not installed"

    def over_tls(self, workload):
        return is_tls(workload)

    def skip(self, workload):
        return "is compared over h2c" if workload.kind == "tls-h2" else None

    def write(self, name, text):
        path = os.path.join(self.tmp, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        return path

    def command(self, workload, port):
        raise NotImplementedError


class Built(Server):
    """A program of this tree, from the build directory."""

    def find(self):
        path = os.path.join(self.build, self.program)
        return path if os.access(path, os.X_OK) else None

    def missing(self):
        return None if self.find() else f"{self.program} is not in {self.build}"


class Ceiling(Built):
    name = "ceiling"
    program = "bench/ceiling_epoll"
    counts_body = False
    echo = True

    def skip(self, workload):
        return "" if workload.h2load or workload.proxy or (workload.echo and workload.kind != "echo") else None

    def mode(self, workload):
        return {"close": ["close"], "post": ["post", str(POST_BYTES)], "echo": ["echo"],
                "file": ["file", os.path.join(self.www, "files/1m.bin")]}.get(
                    workload.kind, ["keepalive"])

    def command(self, workload, port):
        return [self.find(), "--port", str(port)] + self.mode(workload)


class CeilingFin(Ceiling):
    """The same, but response and FIN leave in one segment (MSG_MORE, then close)."""
    name = "ceiling-fin"

    def skip(self, workload):
        return None if workload.kind == "close" else ""

    def mode(self, workload):
        return ["close-fin"]


class UdpCalls(Built):
    """A call for each datagram, in each direction."""
    name = "udp-calls"
    program = "bench/ceiling_udp"
    how = "calls"
    echo = True

    def skip(self, workload):
        return None if workload.kind == "udp" else ""

    def command(self, workload, port):
        return [self.find(), "--port", str(port), self.how]


class UdpBatches(UdpCalls):
    """A call for up to sixteen."""
    name = "udp-batches"
    how = "batches"


class CeilingH2(Built):
    """What nghttp2 itself costs, in a loop that does nothing else."""
    name = "ceiling-h2"
    program = "bench/ceiling_h2c"

    def skip(self, workload):
        return None if workload.kind == "h2" else ""

    def command(self, workload, port):
        return [self.find(), "--port", str(port)]


class CeilingWs(Built):
    """A bare echo of frames that checks nothing."""
    name = "ceiling-ws"
    program = "bench/ceiling_ws"
    websocket = True

    def skip(self, workload):
        return None if workload.kind == "ws" else ""

    def command(self, workload, port):
        return [self.find(), "--port", str(port)]


class CeilingTls(Built):
    """What wolfSSL itself costs, the one that tako is linked with, in a loop that does nothing else."""
    name = "ceiling-tls"
    program = "bench/ceiling_tls"

    def skip(self, workload):
        return None if workload.kind in ("tls", "tls-new") else ""

    def command(self, workload, port):
        return [self.find(), str(port), self.cert, self.key]


class TakoPost(Built):
    """The yardstick of gRPC: the same bytes by a plain POST."""
    name = "tako-post"
    program = "bench/grpc"
    grpc = True

    def skip(self, workload):
        return None if workload.name == "grpc" else ""

    def command(self, workload, port):
        return ["env", "TAKO_RUNTIME=epoll", self.find(), str(port), "plain"]


class GrpcCpp(Built):
    """libgrpc++, asynchronous, on one thread of its own and those that it has anyway."""
    name = "grpc-cpp"
    program = "bench/grpc_cpp"
    grpc = True

    def skip(self, workload):
        return None if workload.name == "grpc" else ""

    def command(self, workload, port):
        return [self.find(), str(port)]


class CeilingUring(Ceiling):
    """A bare io_uring loop; a ceiling for keep-alive, and what a plain ring costs elsewhere."""
    name = "ceiling-uring"
    program = "bench/ceiling_uring"

    def skip(self, workload):
        return "" if workload.kind in ("file", "idle") else super().skip(workload)


class Tako(Built):
    name = "tako"
    program = "examples/showcase"
    runtime = "epoll"
    websocket = True
    grpc = True
    quic = True
    echo = True

    def skip(self, workload):
        return None

    def command(self, workload, port):
        if workload.echo:
            kind = "proxy" if workload.proxy and self.proxied else "udp" if workload.kind == "udp" else "tcp"
            return ["env", f"TAKO_RUNTIME={self.runtime}", os.path.join(self.build, "bench/echo"), str(port), kind]
        if workload.websocket:
            return ["env", f"TAKO_RUNTIME={self.runtime}", os.path.join(self.build, "examples/ws"),
                    f"127.0.0.1:{port}"]
        if workload.grpc:
            return ["env", f"TAKO_RUNTIME={self.runtime}", os.path.join(self.build, "bench/grpc"), str(port)]
        where = ["--http", f"127.0.0.1:{port}"]
        if self.over_tls(workload):
            where = ["--tls", f"127.0.0.1:{port}", "--cert", self.cert, "--key", self.key]
        if workload.quic:
            where = ["--h3", f"127.0.0.1:{port}", "--cert", self.cert, "--key", self.key]
        return [self.find(), "--runtime", self.runtime, *where,
                "--workers", "1", "--quiet", "--files", os.path.join(self.www, "files")]


class TakoH2c(Tako):
    """The yardstick of HTTP/2 in TLS: the same without."""
    name = "tako-h2c"

    def over_tls(self, workload):
        return False

    def skip(self, workload):
        return None if workload.kind == "tls-h2" else ""


class TakoPlain(Tako):
    """The yardstick of the PROXY protocol: the same connections, begun without."""
    name = "tako-plain"
    proxied = False

    def skip(self, workload):
        return None if workload.proxy else ""


class Gtlsserver(Server):
    """ngtcp2's own example server, which speaks nothing but HTTP/3."""
    name = "gtlsserver"
    program = "gtlsserver"
    quic = True

    def skip(self, workload):
        return None if workload.quic else ""

    def command(self, workload, port):
        return [self.find(), "-q", "-d", self.www, "--timeout=300s", "127.0.0.1", str(port), self.key, self.cert]


class TakoUring(Tako):
    name = "tako-uring"
    runtime = "io_uring"


class Nginx(Server):
    name = "nginx"
    program = "nginx"
    echo_module = "/usr/lib/nginx/modules/ngx_http_echo_module.so"  # libnginx-mod-http-echo
    counts_body = False

    def command(self, workload, port):
        # `return` answers first and throws the body away in 4 KiB reads; with Debian's echo module
        # there is a way to have it read into the request's buffer, as before an upstream, first.
        load, count = "", 'return 200 "discarded";'
        if os.path.exists(self.echo_module):
            load = f"load_module {self.echo_module};"
            count = "echo_read_request_body; echo_exec @counted;"
        user = "user root;" if os.geteuid() == 0 else ""
        how, tls = " http2" if workload.kind == "h2" else "", ""
        if is_tls(workload):
            how = " ssl"
            tls = f"""ssl_certificate {self.cert};
        ssl_certificate_key {self.key};
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        ssl_ecdh_curve X25519;"""
        conf = self.write("nginx.conf", f"""
{load}
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {MAX_CONNECTIONS + 100};
pid {self.tmp}/nginx.pid;
error_log {self.tmp}/nginx.err error;
events {{
    use epoll;
    worker_connections {MAX_CONNECTIONS};
    multi_accept on;
}}
http {{
    access_log off;
    default_type text/plain;
    sendfile on;
    sendfile_max_chunk 256k;
    tcp_nodelay on;
    open_file_cache max=100;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    client_header_timeout 300s;
    client_body_buffer_size 128k;
    client_max_body_size 16m;
    client_body_temp_path {self.tmp}/nginx-body;
    proxy_temp_path {self.tmp}/nginx-proxy;
    fastcgi_temp_path {self.tmp}/nginx-fastcgi;
    uwsgi_temp_path {self.tmp}/nginx-uwsgi;
    scgi_temp_path {self.tmp}/nginx-scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096{how};
        {tls}
        root {self.www};
        location = /plaintext {{ return 200 "{HELLO.decode()}"; }}
        location = /count {{ {count} }}
        location @counted {{ return 200 $content_length; }}
    }}
}}
""")
        return [self.find(), "-e", f"{self.tmp}/nginx.err", "-c", conf, "-p", self.tmp]


class H2o(Server):
    name = "h2o"
    program = "h2o"

    def command(self, workload, port):
        # Nothing in h2o's configuration answers a constant. A file handler and an mruby handler can;
        # the file is the cheaper one. /count needs mruby.
        user = "user: root" if os.geteuid() == 0 else ""
        tls = f"""
  ssl:
    certificate-file: {self.cert}
    key-file: {self.key}""" if is_tls(workload) else ""
        conf = self.write("h2o.conf", f"""
{user}
num-threads: 1
max-connections: {MAX_CONNECTIONS}
pid-file: {self.tmp}/h2o.pid
error-log: {self.tmp}/h2o.err
http1-request-timeout: 300
http2-idle-timeout: 300
file.send-gzip: OFF
file.mime.setdefaulttype: text/plain
listen:
  host: 127.0.0.1
  port: {port}{tls}
hosts:
  default:
    paths:
      /count:
        mruby.handler: |
          Proc.new do |env|
            n = env["rack.input"].read.length.to_s
            [200, {{"content-type" => "text/plain", "content-length" => n.length.to_s}}, [n]]
          end
      /:
        file.dir: {self.www}
""")
        return [self.find(), "-m", "worker", "-c", conf]


class Haproxy(Server):
    name = "haproxy"
    program = "haproxy"

    def skip(self, workload):
        return "is not a file server" if workload.kind in ("file", "tls-file") else super().skip(workload)

    def command(self, workload, port):
        # The body is waited for in the request's buffer, so that one must hold it.
        how = " proto h2" if workload.kind == "h2" else ""
        if is_tls(workload):
            both = self.write("both.pem", open(self.cert, encoding="ascii").read() +
                              open(self.key, encoding="ascii").read())
            how = f" ssl crt {both} ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256 curves X25519 alpn http/1.1"
        bufsize = 2 * POST_BYTES if workload.kind == "post" else 16384
        conf = self.write("haproxy.cfg", f"""
global
    nbthread 1
    maxconn {MAX_CONNECTIONS}
    no strict-limits
    tune.bufsize {bufsize}
defaults
    mode http
    timeout client 300s
    timeout http-request 300s
    timeout http-keep-alive 300s
    timeout connect 5s
    timeout server 300s
frontend bench
    bind 127.0.0.1:{port} backlog 4096{how}
    http-request return status 200 content-type text/plain string "{HELLO.decode()}" if {{ path /plaintext }}
    http-request wait-for-body time 60s at-least {POST_BYTES} if {{ path /count }}
    http-request return status 200 content-type text/plain lf-string "%[req.body_size]" if {{ path /count }}
""")
        return [self.find(), "-q", "-db", "-f", conf]


class Lighttpd(Server):
    name = "lighttpd"
    program = "lighttpd"

    def skip(self, workload):
        if workload.h2load:
            return "is not compared over HTTP/2 and TLS"
        # It would answer with the static file and close the connection.
        return "has nothing built in that reads a body" if workload.kind == "post" else None

    def command(self, workload, port):
        # It wants two descriptors for each connection it may have.
        fds = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        conf = self.write("lighttpd.conf", f"""
server.modules = ()
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{self.www}"
server.errorlog = "{self.tmp}/lighttpd.err"
server.event-handler = "linux-sysepoll"
server.network-backend = "sendfile"
server.listen-backlog = 4096
server.max-fds = {fds}
server.max-connections = {min(MAX_CONNECTIONS, fds // 2)}
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 300
server.max-read-idle = 300
mimetype.assign = ( "" => "text/plain" )
""")
        return [self.find(), "-D", "-f", conf]


class Mhd(Built):
    name = "libmicrohttpd"
    program = "bench/mhd"

    def skip(self, workload):
        return "has no HTTP/2" if workload.kind == "h2" else "is not compared over TLS" if is_tls(workload) else None

    def command(self, workload, port):
        # A connection's memory bounds its read size, so a larger one helps uploads and hurts idling.
        memory = 256 * 1024 if workload.kind == "post" else 32 * 1024
        return [self.find(), str(port), os.path.join(self.www, "files"), str(memory)]


class EchoPeer(Server):
    """Has WebSocket and is not compared otherwise."""
    websocket = True

    def skip(self, workload):
        return None if workload.websocket else ""


class Lws(Built, EchoPeer):
    name = "libwebsockets"
    program = "bench/lws"

    def command(self, workload, port):
        return [self.find(), str(port)]


class NodeWs(EchoPeer):
    name = "node-ws"
    program = "node"
    modules = "/usr/share/nodejs"  # where Debian's node-ws is

    def missing(self):
        if not os.path.isdir(os.path.join(self.modules, "ws")):
            return "node-ws is not installed"
        return super().missing()

    def command(self, workload, port):
        return ["env", f"NODE_PATH={self.modules}", self.find(),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "ws.js"), str(port)]


ALL = [Ceiling, CeilingFin, CeilingUring, CeilingH2, CeilingWs, CeilingTls, TakoPost, TakoH2c,
       UdpCalls, UdpBatches, TakoPlain, Tako, TakoUring, Nginx, H2o, Haproxy,
       Lighttpd, Mhd, Lws, NodeWs, GrpcCpp, Gtlsserver]


def make_www(tmp):
    """The document root; the file is not zeros, so that nothing along the way can be clever."""
    www = os.path.join(tmp, "www")
    os.makedirs(os.path.join(www, "files"))
    with open(os.path.join(www, "plaintext"), "wb") as f:
        f.write(HELLO)
    with open(os.path.join(www, "files/1m.bin"), "wb") as f:
        f.write(os.urandom(FILE_BYTES))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", os.path.join(tmp, "key.pem"), "-out", os.path.join(tmp, "cert.pem"), "-days", "2",
                    "-subj", "/CN=localhost"], check=True, capture_output=True)
    for d, _, files in os.walk(tmp):
        os.chmod(d, 0o755)
        for name in files:
            os.chmod(os.path.join(d, name), 0o644)
