//! Events to Kafka: the sink, the Schema Registry, and a consumer for our services.
