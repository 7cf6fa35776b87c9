# The service and the worker of a project; `command` of compose.yaml says which. Build with `docker build .`.
FROM python:3.11-slim-bookworm

# Models are trained on processors here; for GPUs take torch from its own index instead.
RUN useradd --create-home --uid 10001 obliviate && mkdir /project && chown obliviate /project
WORKDIR /opt/obliviate
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir --constraint constraints.txt ".[service,postgres]"

USER obliviate
WORKDIR /project
VOLUME /project
EXPOSE 8000
ENTRYPOINT ["obliviate"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
