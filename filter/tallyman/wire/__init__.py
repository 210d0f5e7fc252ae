"""The gRPC messages the filter sends and reads, in protobuf's wire format."""
