"""The yardstick of ``api.py``: the same routes and tables, as FastAPI and SQLAlchemy's ORM are usually used."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import DateTime, ForeignKey, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["PEER_DATABASE"], pool_size=10)
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSONB, datetime: DateTime(timezone=True)}  # noqa: RUF012 - as its manual says


class OperationRow(Base):
    __tablename__ = "operations"
    __table_args__ = {"schema": "checking_engine"}  # noqa: RUF012
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    operation_id: Mapped[UUID]
    source: Mapped[str]
    source_id: Mapped[str | None]
    name: Mapped[str]
    operation_start: Mapped[datetime | None]
    state: Mapped[str | None]
    attack_version: Mapped[str | None]
    about: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    updated_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))


class ExecutionRow(Base):
    __tablename__ = "execution_results"
    __table_args__ = {"schema": "checking_engine"}  # noqa: RUF012
    id: Mapped[UUID] = mapped_column(primary_key=True)
    operation_id: Mapped[UUID] = mapped_column(ForeignKey("checking_engine.operations.operation_id"))
    link_id: Mapped[UUID]
    revision: Mapped[int]
    agent_host: Mapped[str]
    agent_paw: Mapped[str]
    agent: Mapped[dict[str, Any] | None]
    command: Mapped[str]
    plaintext_command: Mapped[str | None]
    executor: Mapped[str | None]
    platform: Mapped[str | None]
    pid: Mapped[int | None]
    status: Mapped[int | None]
    link_state: Mapped[str]
    run_state: Mapped[str]
    cleanup: Mapped[bool]
    procedure_id: Mapped[str | None]
    procedure_name: Mapped[str]
    procedure_fingerprint: Mapped[str]
    tactic: Mapped[str | None]
    technique_id: Mapped[str | None]
    technique_name: Mapped[str | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    clock: Mapped[str]
    result_data: Mapped[dict[str, Any] | None]
    reported_at: Mapped[datetime]
    created_at: Mapped[datetime]


class ResultRow(Base):
    __tablename__ = "detection_results"
    __table_args__ = {"schema": "checking_engine"}  # noqa: RUF012
    id: Mapped[UUID] = mapped_column(primary_key=True)
    outcome: Mapped[str]


class Operation(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: UUID
    operation_id: UUID
    source: str
    source_id: str | None
    name: str
    operation_start: datetime | None
    state: str | None
    attack_version: str | None
    about: dict[str, Any] | None = Field(serialization_alias="metadata")
    created_at: datetime
    updated_at: datetime


class Operations(BaseModel):
    items: list[Operation]
    total: int
    page: int
    size: int


class WantedOperation(BaseModel):
    operation_id: UUID
    name: str
    source: str = "caldera"


class Execution(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: UUID
    operation_id: UUID
    link_id: UUID
    revision: int
    agent_host: str
    agent_paw: str
    agent: dict[str, Any] | None
    command: str
    plaintext_command: str | None
    executor: str | None
    platform: str | None
    pid: int | None
    status: int | None
    link_state: str
    run_state: str
    cleanup: bool
    procedure_id: str | None
    procedure_name: str
    procedure_fingerprint: str
    tactic: str | None
    technique_id: str | None
    technique_name: str | None
    started_at: datetime
    finished_at: datetime | None
    clock: str
    result_data: dict[str, Any] | None
    reported_at: datetime
    created_at: datetime


class Executions(BaseModel):
    items: list[Execution]
    total: int
    page: int
    size: int


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]


@app.get("/api/v1/operations")
async def list_operations(
    session: Session, page: Annotated[int, Query(ge=1)] = 1, size: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Operations:
    total = await session.scalar(select(func.count()).select_from(OperationRow))
    newest = select(OperationRow).order_by(OperationRow.created_at.desc()).offset((page - 1) * size).limit(size)
    rows = (await session.scalars(newest)).all()
    items = [Operation.model_validate(row) for row in rows]
    return Operations(items=items, total=total or 0, page=page, size=size)


@app.get("/api/v1/operations/{key}")
async def get_operation(session: Session, key: UUID) -> Operation:
    row = await session.get(OperationRow, key)
    if row is None:
        raise HTTPException(404)
    return Operation.model_validate(row)


@app.get("/api/v1/executions")
async def list_executions(
    session: Session, page: Annotated[int, Query(ge=1)] = 1, size: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Executions:
    total = await session.scalar(select(func.count()).select_from(ExecutionRow))
    newest = select(ExecutionRow).order_by(ExecutionRow.started_at.desc()).offset((page - 1) * size).limit(size)
    rows = (await session.scalars(newest)).all()
    items = [Execution.model_validate(row) for row in rows]
    return Executions(items=items, total=total or 0, page=page, size=size)


@app.get("/api/v1/executions/{key}")
async def get_execution(session: Session, key: UUID) -> Execution:
    row = await session.get(ExecutionRow, key)
    if row is None:
        raise HTTPException(404)
    return Execution.model_validate(row)


@app.post("/api/v1/operations", status_code=201)
async def create_operation(session: Session, wanted: WantedOperation) -> Operation:
    known = select(OperationRow).where(OperationRow.operation_id == wanted.operation_id)
    if await session.scalar(known) is not None:
        raise HTTPException(409)
    row = OperationRow(**wanted.model_dump())
    session.add(row)
    await session.commit()
    await session.refresh(row)
    return Operation.model_validate(row)


@app.get("/api/v1/detections/results/stats/summary")
async def summarize_results(session: Session) -> dict[str, int]:
    rows = await session.execute(select(ResultRow.outcome, func.count()).group_by(ResultRow.outcome))
    return dict(rows.tuples().all())
