LIB_LIBS += liburing
