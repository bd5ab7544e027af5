"""The configuration files of the proxies under test: the same work for each, as close as their words allow.

With {names} for what differs from run to run, to be filled in by `str.format`.
"""

from __future__ import annotations

NGINX = """\
load_module {modules}/ngx_stream_module.so;
daemon off;
{user}
worker_processes {processes};
worker_rlimit_nofile {descriptors};
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 16384; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    proxy_cache_path {directory}/kept levels=1:2 keys_zone=kept:8m max_size=64m;
    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 512;
    }}
    upstream balanced {{
        least_conn;
        {servers}
        keepalive 512;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.1:{tls_port} ssl backlog=4096;
        ssl_certificate {directory}/site.pem;
        ssl_certificate_key {directory}/site.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        proxy_http_version 1.1;
        location / {{
            proxy_pass http://origin;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
        location /balanced {{
            proxy_pass http://balanced;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
        location /cached/ {{
            proxy_pass http://origin;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_cache kept;
        }}
        location /files/ {{
            alias {directory}/files/;
            sendfile on;
            tcp_nopush on;
        }}
        location /ws {{
            proxy_pass http://origin;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }}
    }}
}}
stream {{
    upstream origin {{ server 127.0.0.1:{origin}; }}
    server {{
        listen 127.0.0.1:{tcp_port} backlog=4096;
        proxy_pass origin;
    }}
}}
"""

HAPROXY = """\
global
    nbthread 1
    maxconn 9000
defaults
    mode http
    option forwardfor
    http-reuse always
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
cache kept
    total-max-size 64
    max-object-size 1048576
backend cached
    http-request cache-use kept
    http-response cache-store kept
    server origin 127.0.0.1:{origin}
backend balanced
    balance leastconn
{servers}
listen proxy
    bind 127.0.0.1:{port} backlog 4096
    bind 127.0.0.1:{tls_port} backlog 4096 ssl crt {directory}/both.pem alpn http/1.1
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    http-request set-header X-Forwarded-Proto http if !{{ ssl_fc }}
    use_backend balanced if {{ path_beg /balanced }}
    use_backend cached if {{ path_beg /cached }}
    server origin 127.0.0.1:{origin}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen bytes
    mode tcp
    bind 127.0.0.1:{tcp_port} backlog 4096
    server origin 127.0.0.1:{origin}
"""

VARNISH = """\
vcl 4.1;
backend origin {{ .host = "127.0.0.1"; .port = "{origin}"; }}
"""

WSPROXY = """\
[frontend]
host = 127.0.0.1
port = {port}
processes = {processes}
[frontend:tls]
host = 127.0.0.1
port = {tls_port}
tls_certificate = site.pem
tls_key = site.key
[log]
access = off
[http]
server1 = 127.0.0.1:{origin}
{http_extra}
[http:balanced]
path_prefix = /balanced
algorithm = least-connections
{servers}
[http:cached]
path_prefix = /cached
server1 = 127.0.0.1:{origin}
cache = yes
[tcp:bytes]
host = 127.0.0.1
port = {tcp_port}
server1 = 127.0.0.1:{origin}
[static:files]
path_prefix = /files
directory = files
[websocket]
path_prefix = /ws
server1 = 127.0.0.1:{origin}
"""
