# SPDX-License-Identifier: MIT
"""without_io_uring.py PROGRAM [ARGUMENT...]: runs it where io_uring_setup(2) answers EPERM, as it does
under the default profile of Docker and containerd."""
import ctypes
import errno
import os
import struct
import sys

SYS_IO_URING_SETUP = 425  # the same on every architecture
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD_NR, JUMP_EQ, RETURN = 0x20, 0x15, 0x06
RET_ERRNO, RET_ALLOW = 0x00050000, 0x7fff0000


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def forbid():
    code = b"".join(struct.pack("HBBI", *step) for step in (
        (LOAD_NR, 0, 0, 0),
        (JUMP_EQ, 0, 1, SYS_IO_URING_SETUP),
        (RETURN, 0, 0, RET_ERRNO | errno.EPERM),
        (RETURN, 0, 0, RET_ALLOW)))
    held = ctypes.create_string_buffer(code, len(code))
    program = Program(len(code) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or \
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    forbid()
    os.execv(sys.argv[1], sys.argv[1:])
