/* SPDX-License-Identifier: MIT
 *
 * libgrpc++'s asynchronous server on one thread: each call's first message is echoed.
 *
 *   grpc_cpp PORT
 */
#include <memory>
#include <string>

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

namespace
{

class Call
{
      public:
	Call(grpc::AsyncGenericService &s, grpc::ServerCompletionQueue &q)
	    : service(s), queue(q), stream(&context)
	{
		service.RequestCall(&context, &stream, &queue, &queue, this);
	}

	void step(bool ok)
	{
		if (!ok) {
			delete this;
			return;
		}
		switch (state++) {
		case 0:
			new Call(service, queue);
			stream.Read(&message, this);
			break;
		case 1:
			stream.WriteAndFinish(message, grpc::WriteOptions(), grpc::Status::OK,
			                      this);
			break;
		default:
			delete this;
		}
	}

      private:
	grpc::AsyncGenericService &service;
	grpc::ServerCompletionQueue &queue;
	grpc::GenericServerContext context;
	grpc::GenericServerAsyncReaderWriter stream;
	grpc::ByteBuffer message;
	int state = 0;
};

} // namespace

int main(int argc, char **argv)
{
	grpc::AsyncGenericService service;
	grpc::ServerBuilder builder;
	void *tag;
	bool ok;

	if (argc < 2)
		return 2;
	builder.AddListeningPort(std::string("127.0.0.1:") + argv[1],
	                         grpc::InsecureServerCredentials());
	builder.RegisterAsyncGenericService(&service);
	auto queue = builder.AddCompletionQueue();
	auto server = builder.BuildAndStart();
	if (!server)
		return 1;
	for (int i = 0; i < 1000; i++)
		new Call(service, *queue);
	while (queue->Next(&tag, &ok))
		static_cast<Call *>(tag)->step(ok);
	return 0;
}
