/* SPDX-License-Identifier: MIT
 *
 * The cases of the gRPC project's interoperability list with libgrpc++, against tests/programs/grpc.c:
 *   grpc_client ADDRESS [CERTIFICATE]
 * Says which cases were good, and ends with 1 at the first that was not.
 */
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

namespace
{

const std::string service = "/tako.test.Interop/";

struct Options {
	bool ping_pong = false; /* each message is answered before the next is sent */
	bool cancel_first = false;
	bool cancel_after_answer = false;
	int timeout_ms = 20000;
	grpc_compression_algorithm compression = GRPC_COMPRESS_NONE;
	std::vector<std::pair<std::string, std::string>> metadata;
};

struct Result {
	grpc::Status status;
	std::vector<std::string> messages;
	std::string initial; /* what was asked to be echoed */
	std::string trailing;
};

void must(bool is, const char *what, const Result &r)
{
	if (is)
		return;
	std::printf("%s: status %d (%s), %zu messages\n", what, r.status.error_code(),
	            r.status.error_message().c_str(), r.messages.size());
	std::exit(1);
}

grpc::ByteBuffer pack(const std::string &text)
{
	grpc::Slice slice(text);

	return grpc::ByteBuffer(&slice, 1);
}

std::string unpack(const grpc::ByteBuffer &buffer)
{
	std::vector<grpc::Slice> slices;
	std::string text;

	(void)buffer.Dump(&slices);
	for (const auto &s : slices)
		text.append(reinterpret_cast<const char *>(s.begin()), s.size());
	return text;
}

std::string echoed(const std::multimap<grpc::string_ref, grpc::string_ref> &all, const char *name)
{
	auto at = all.find(name);

	return at == all.end() ? "" : std::string(at->second.data(), at->second.size());
}

/* One step at a time: what is begun is waited for. */
class Call
{
      public:
	Call(grpc::GenericStub &stub, const std::string &method, const Options &o) : options(o)
	{
		for (const auto &m : o.metadata)
			context.AddMetadata(m.first, m.second);
		context.set_deadline(std::chrono::system_clock::now() +
		                     std::chrono::milliseconds(o.timeout_ms));
		context.set_compression_algorithm(o.compression);
		stream = stub.PrepareCall(&context, method, &queue);
		stream->StartCall(this);
		(void)wait();
	}

	Result run(const std::vector<std::string> &requests)
	{
		Result r;

		if (options.cancel_first)
			context.TryCancel();
		for (const auto &text : requests) {
			stream->Write(pack(text), this);
			if (!wait())
				break;
			if (options.ping_pong && !read(r))
				break;
			if (options.cancel_after_answer)
				context.TryCancel();
		}
		stream->WritesDone(this);
		(void)wait();
		while (read(r))
			;
		stream->Finish(&r.status, this);
		(void)wait();
		r.initial = echoed(context.GetServerInitialMetadata(), "x-grpc-test-echo-initial");
		r.trailing = echoed(context.GetServerTrailingMetadata(),
		                    "x-grpc-test-echo-trailing-bin");
		return r;
	}

      private:
	bool wait()
	{
		void *tag;
		bool ok = false;

		return queue.Next(&tag, &ok) && ok;
	}

	bool read(Result &r)
	{
		grpc::ByteBuffer buffer;

		stream->Read(&buffer, this);
		if (!wait())
			return false;
		r.messages.push_back(unpack(buffer));
		return true;
	}

	Options options;
	grpc::ClientContext context;
	grpc::CompletionQueue queue;
	std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream;
};

Result run(grpc::GenericStub &stub, const std::string &method,
           const std::vector<std::string> &requests, const Options &o = Options())
{
	return Call(stub, method[0] == '/' ? method : service + method, o).run(requests);
}

std::string with_payload(const std::string &words, size_t n)
{
	return words + std::string(1, '\0') + std::string(n, 'x');
}

bool is(const Result &r, grpc::StatusCode code, const std::vector<size_t> &sizes)
{
	bool same = r.status.error_code() == code && r.messages.size() == sizes.size();

	for (size_t i = 0; same && i < sizes.size(); i++)
		same = r.messages[i].size() == sizes[i];
	return same;
}

void unaries(grpc::GenericStub &stub)
{
	Result r = run(stub, "Empty", {""});

	must(is(r, grpc::OK, {0}), "empty_unary", r);
	r = run(stub, "Unary", {with_payload("n=314159;squeeze=0", 271828)});
	must(is(r, grpc::OK, {314159}), "large_unary", r);
	for (auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
		Options o;

		o.compression = algorithm;
		r = run(stub, "Unary", {with_payload("n=314159;compressed=1", 271828)}, o);
		must(is(r, grpc::OK, {314159}), "client_compressed_unary", r);
	}
	r = run(stub, "Unary", {with_payload("n=1;compressed=1", 271828)});
	must(is(r, grpc::INVALID_ARGUMENT, {}), "client_compressed_unary: without", r);
	r = run(stub, "Unary", {with_payload("n=314159;compressed=0", 271828)});
	must(is(r, grpc::OK, {314159}), "client_compressed_unary: not asked for", r);
	for (const char *squeeze : {"n=314159;squeeze=1", "n=314159;squeeze=0"}) {
		r = run(stub, "Unary", {squeeze});
		must(is(r, grpc::OK, {314159}), "server_compressed_unary", r);
	}
}

void streams(grpc::GenericStub &stub)
{
	Options pong;
	Result r = run(stub, "Input",
	               {with_payload("", 27182), with_payload("", 8), with_payload("", 1828),
	                with_payload("", 45904)});

	must(is(r, grpc::OK, {5}) && r.messages[0] == "74922", "client_streaming", r);
	r = run(stub, "Output", {"n=31415,9,2653,58979"});
	must(is(r, grpc::OK, {31415, 9, 2653, 58979}), "server_streaming", r);
	pong.ping_pong = true;
	r = run(stub, "Duplex", {"n=31415", "n=9", "n=2653", "n=58979"}, pong);
	must(is(r, grpc::OK, {31415, 9, 2653, 58979}), "ping_pong", r);
	r = run(stub, "Duplex", {});
	must(is(r, grpc::OK, {}), "empty_stream", r);
}

void metadata(grpc::GenericStub &stub)
{
	Options o;

	o.metadata = {{"x-grpc-test-echo-initial", "test_initial_metadata_value"},
	              {"x-grpc-test-echo-trailing-bin", "\xab\xab\xab"}};
	for (const char *method : {"Unary", "Duplex"}) {
		Result r = run(stub, method, {"n=314159"}, o);

		must(is(r, grpc::OK, {314159}) && r.initial == "test_initial_metadata_value" &&
		             r.trailing == "\xab\xab\xab",
		     "custom_metadata", r);
	}
}

void statuses(grpc::GenericStub &stub)
{
	const std::string special = "\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and "
	                            "non-BMP \xf0\x9f\x98\x88\t\n";
	Result r;

	for (const char *method : {"Unary", "Duplex"}) {
		r = run(stub, method, {"code=2;message=test status message"});
		must(is(r, grpc::UNKNOWN, {}) && r.status.error_message() == "test status message",
		     "status_code_and_message", r);
	}
	r = run(stub, "Unary", {"code=2;message=" + special});
	must(is(r, grpc::UNKNOWN, {}) && r.status.error_message() == special,
	     "special_status_message", r);
	r = run(stub, "Other", {""});
	must(is(r, grpc::UNIMPLEMENTED, {}), "unimplemented_method", r);
	r = run(stub, "/tako.test.Other/Unary", {""});
	must(is(r, grpc::UNIMPLEMENTED, {}), "unimplemented_service", r);
}

void early_ends(grpc::GenericStub &stub)
{
	Options o;
	Result r;

	o.cancel_first = true;
	r = run(stub, "Input", {}, o);
	must(is(r, grpc::CANCELLED, {}), "cancel_after_begin", r);
	o = Options();
	o.ping_pong = o.cancel_after_answer = true;
	r = run(stub, "Duplex", {"n=31415"}, o);
	must(is(r, grpc::CANCELLED, {31415}), "cancel_after_first_response", r);
	o = Options();
	o.timeout_ms = 100;
	r = run(stub, "Hang", {"x"}, o);
	must(is(r, grpc::DEADLINE_EXCEEDED, {}), "timeout_on_sleeping_server", r);
}

std::shared_ptr<grpc::ChannelCredentials> credentials(const char *certificate)
{
	grpc::SslCredentialsOptions o;
	std::stringstream text;

	if (!certificate)
		return grpc::InsecureChannelCredentials();
	text << std::ifstream(certificate).rdbuf();
	o.pem_root_certs = text.str();
	return grpc::SslCredentials(o);
}

} // namespace

int main(int argc, char **argv)
{
	grpc::ChannelArguments args;

	if (argc < 2)
		return 2;
	args.SetInt("grpc.enable_http_proxy", 0);
	grpc::GenericStub stub(grpc::CreateCustomChannel(
		argv[1], credentials(argc > 2 ? argv[2] : nullptr), args));
	unaries(stub);
	streams(stub);
	metadata(stub);
	statuses(stub);
	early_ends(stub);
	std::puts("all good");
	return 0;
}
