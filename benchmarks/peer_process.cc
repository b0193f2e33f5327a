/* SPDX-License-Identifier: Apache-2.0 */
/* peer_process.cc -- starts a peer with pipes, and asks it. */
#include "peer_process.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <unistd.h>
#include <utility>

static std::string directory_of_this_program()
{
    char path[4096];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
    const std::string text(path, length > 0 ? static_cast<size_t>(length) : 0);
    return text.substr(0, text.rfind('/') + 1);
}

peer_process::peer_process(std::string program, std::string environment)
    : path_(directory_of_this_program() + std::move(program)), environment_(std::move(environment))
{
}

bool peer_process::exists() const
{
    return access(path_.c_str(), X_OK) == 0;
}

/* In the child. */
[[noreturn]] static void become(const std::string &path, std::string environment, int in, int out)
{
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    for (int fd = STDERR_FILENO + 1; fd < 64; fd++) /* the pipes of other peers too */
        close(fd);
    if (!environment.empty())
        putenv(environment.data());
    execl(path.c_str(), path.c_str(), static_cast<char *>(nullptr));
    _exit(127);
}

/* The child ends when its input does. */
void peer_process::start()
{
    int request[2], answer[2];
    if (pipe(request) || pipe(answer))
        throw std::runtime_error("no pipe");
    std::signal(SIGPIPE, SIG_IGN); /* a peer that died answers nothing: that is reported */
    const pid_t child = fork();
    if (child < 0)
        throw std::runtime_error("no process");
    if (!child)
        become(path_, environment_, request[0], answer[1]);
    close(request[0]);
    close(answer[1]);
    requests_ = fdopen(request[1], "w");
    answers_ = fdopen(answer[0], "r");
}

double peer_process::measure(const gemm_product &p, double seconds, std::string *implementation)
{
    if (!requests_)
        start();
    std::fprintf(requests_, "%s %zu %zu %zu %d %zu %g\n", p.type == MXQ_F32 ? "f32" : "bf16", p.n,
                 p.k, p.m, p.is_cold, p.threads, seconds);
    std::fflush(requests_);
    char line[4096];
    if (!std::fgets(line, sizeof line, answers_))
        throw std::runtime_error("the peer has ended");
    std::istringstream words(line);
    std::string verdict, rest;
    words >> verdict;
    double result = 0;
    if (verdict == "ok")
        words >> result >> std::ws;
    std::getline(words >> std::ws, rest);
    if (verdict != "ok")
        throw std::runtime_error(rest);
    *implementation = rest;
    return result;
}
