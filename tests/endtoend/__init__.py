"""What is shown with real processes and real sockets."""
