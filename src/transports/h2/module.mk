# HTTP/2 framing, HPACK and stream states.
LIB_LIBS += libnghttp2
