# SPDX-License-Identifier: MIT
"""Messages of the gRPC project's own services, made at run time from their descriptors, and a small file of
ours to reflect upon: what grpcio's generated stubs would do, without a compiler."""
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

TYPE = descriptor_pb2.FieldDescriptorProto
POOL = descriptor_pool.DescriptorPool()


def _message(file, name, *fields, oneof=None):
    m = file.message_type.add(name=name)
    if oneof:
        m.oneof_decl.add(name=oneof)
    for number, field, kind, *rest in fields:
        f = m.field.add(name=field, number=number, label=TYPE.LABEL_OPTIONAL)
        if isinstance(kind, str):
            f.type, f.type_name = TYPE.TYPE_MESSAGE, f".{file.package}.{kind}"
        else:
            f.type = kind
        if "repeated" in rest:
            f.label = TYPE.LABEL_REPEATED
        if "oneof" in rest:
            f.oneof_index = 0
    return m


def _file(name, package):
    return descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")


def _health():
    f = _file("health.proto", "grpc.health.v1")
    _message(f, "HealthCheckRequest", (1, "service", TYPE.TYPE_STRING))
    _message(f, "HealthCheckResponse", (1, "status", TYPE.TYPE_INT32))
    return f


def _reflection(version):
    f = _file(f"reflection_{version}.proto", f"grpc.reflection.{version}")
    _message(f, "ExtensionRequest", (1, "containing_type", TYPE.TYPE_STRING), (2, "extension_number", TYPE.TYPE_INT32))
    _message(f, "ServerReflectionRequest", (1, "host", TYPE.TYPE_STRING),
             (3, "file_by_filename", TYPE.TYPE_STRING, "oneof"),
             (4, "file_containing_symbol", TYPE.TYPE_STRING, "oneof"),
             (5, "file_containing_extension", "ExtensionRequest", "oneof"),
             (6, "all_extension_numbers_of_type", TYPE.TYPE_STRING, "oneof"),
             (7, "list_services", TYPE.TYPE_STRING, "oneof"), oneof="message_request")
    _message(f, "FileDescriptorResponse", (1, "file_descriptor_proto", TYPE.TYPE_BYTES, "repeated"))
    _message(f, "ExtensionNumberResponse", (1, "base_type_name", TYPE.TYPE_STRING),
             (2, "extension_number", TYPE.TYPE_INT32, "repeated"))
    _message(f, "ServiceResponse", (1, "name", TYPE.TYPE_STRING))
    _message(f, "ListServiceResponse", (1, "service", "ServiceResponse", "repeated"))
    _message(f, "ErrorResponse", (1, "error_code", TYPE.TYPE_INT32), (2, "error_message", TYPE.TYPE_STRING))
    _message(f, "ServerReflectionResponse", (1, "valid_host", TYPE.TYPE_STRING),
             (2, "original_request", "ServerReflectionRequest"),
             (4, "file_descriptor_response", "FileDescriptorResponse", "oneof"),
             (5, "all_extension_numbers_response", "ExtensionNumberResponse", "oneof"),
             (6, "list_services_response", "ListServiceResponse", "oneof"),
             (7, "error_response", "ErrorResponse", "oneof"), oneof="message_response")
    return f


def reflected():
    """Two files, one imports the other."""
    base = _file("base.proto", "tako.base")
    _message(base, "Point", (1, "x", TYPE.TYPE_INT32))
    main = _file("main.proto", "tako.main")
    main.dependency.append("base.proto")
    m = _message(main, "Ask", (1, "word", TYPE.TYPE_STRING))
    m.nested_type.add(name="Inner")
    service = main.service.add(name="Oracle")
    service.method.add(name="Tell", input_type=".tako.main.Ask", output_type=".tako.base.Point")
    return descriptor_pb2.FileDescriptorSet(file=[base, main])


for _made in (_health(), _reflection("v1"), _reflection("v1alpha")):
    POOL.Add(_made)


def message(name):
    return message_factory.MessageFactory(POOL).GetPrototype(POOL.FindMessageTypeByName(name))


def stub(make, path, request, response):
    """As generated code has it: `make` is a channel's unary_unary and its neighbours."""
    return make(path, request_serializer=message(request).SerializeToString,
                response_deserializer=message(response).FromString)
