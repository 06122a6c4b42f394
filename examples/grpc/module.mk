# Messages by protobuf-c, whose compiler makes C of the .proto, and a descriptor set of it for reflection.
LIBS := libprotobuf-c
GREETER := $(B)/obj/examples/grpc/greeter

$(GREETER).pb-c.c: examples/grpc/greeter.proto
	$(call say,PROTOC,$<)
	@mkdir -p $(@D)
	$(Q)protoc-c --proto_path=examples/grpc --c_out=$(@D) $<
$(GREETER).set: examples/grpc/greeter.proto
	@mkdir -p $(@D)
	$(Q)protoc --proto_path=examples/grpc --include_imports --descriptor_set_out=$@ $<
# As bytes for an array: what a program has in it, it need not find.
$(GREETER).set.inc: $(GREETER).set
	$(Q)od -An -v -tu1 $< | sed 's/  */, /g; s/^, //; s/$$/,/' >$@
$(GREETER).pb-c.o: $(GREETER).pb-c.c
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS) -O2 -g -fPIC -w -I$(@D) $(call pkg_cflags,libprotobuf-c) -c -o $@ $<
$(B)/obj/examples/grpc/main.o: $(GREETER).pb-c.c $(GREETER).set.inc
$(B)/examples/grpc $(B)/cut/grpc: $(GREETER).pb-c.o
