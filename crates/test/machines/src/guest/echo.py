"""Answers every datagram to the port that is named."""
import socket
import sys

server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind(("::", int(sys.argv[1])))
while True:
    data, sender = server.recvfrom(100)
    try:
        server.sendto(data, sender)
    except OSError:
        pass  # a guard that is closed
