# A Python, this package in a virtual environment, and nothing that built them. Both BuildKit and the classic builder
# take it:   docker build -t wsproxy .

FROM python:3.12-slim AS build
WORKDIR /source
# What some keys of the file need: a shared cache and limit, br and zstd, servers from DNS and Kubernetes. May be empty.
ARG EXTRAS=redis,compression,discovery,kubernetes
# The base image's pip fills the environment from outside and stays behind; so do the sources that wheels carry along.
RUN python3 -m venv --without-pip /opt/wsproxy
COPY pyproject.toml setup.cfg README.md ./
COPY wsproxy wsproxy
RUN python3 -m pip --python /opt/wsproxy/bin/python3 install --no-cache-dir --no-compile ".${EXTRAS:+[$EXTRAS]}" \
 && find /opt/wsproxy -name '*.pyx' -delete -o -name '*.px[di]' -delete -o -name '*.pyi' -delete \
    -o -name '*.c' -delete -o -name '_testbase.py' -delete -o -path '*/zstandard/_cffi.*' -delete \
 && /opt/wsproxy/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /opt/wsproxy/lib
COPY docker/container.py /opt/wsproxy/

FROM python:3.12-slim
COPY --from=build /opt/wsproxy /opt/wsproxy
# What runs with no file mounted over it: the shipped one, with the demo servers that it starts itself.
COPY proxy.ini /etc/wsproxy/proxy.ini
ENV PATH=/opt/wsproxy/bin:$PATH \
    PYTHONUNBUFFERED=1
# No name, no home, no file of its own; a number, because that is what Kubernetes' runAsNonRoot can check.
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["/opt/wsproxy/bin/python3", "/opt/wsproxy/container.py", "--health"]
ENTRYPOINT ["/opt/wsproxy/bin/python3", "/opt/wsproxy/container.py"]
