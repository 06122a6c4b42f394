LIBS := nettle libcjson
