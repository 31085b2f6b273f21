//! A RabbitMQ of the test's own.
