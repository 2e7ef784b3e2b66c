"""One fixed sample of every message of the contract; the golden payloads are made from these."""

from uuid import UUID

from wire import messages as m

U1 = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
U2 = UUID("01890a5d-ac96-774b-bcce-b302099a8058")
T0 = 1_763_800_000_000_000

SIGHTING = m.Sighting(
    id=U1,
    epoch=20_414,
    start_us=T0,
    end_us=T0 + 5_000_000,
    time_uncertainty_s=0.25,
    template=bytes(range(192)),
    mask_state=m.MaskState.MASKED,
    mask_probability=0.98,
    quality=0.75,
    face_count=12,
)
SCOPE = m.Scope(camera_id="cam-01", start_us=T0, end_us=T0 + 60_000_000)
TRACKLET = m.TrackletReport(
    tracklet_id=U1,
    is_subject=True,
    similarity=0.71,
    start_us=T0,
    end_us=T0 + 2_000_000,
    epoch=20_414,
    shard=1,
    time_uncertainty_s=0.25,
    template=bytes(192),
    quality=0.8,
    face_count=3,
    path=(m.PathPoint(offset_ms=0, x_mm=-1200, y_mm=4300, noise_sd_mm=25),),
    masks=(m.MaskSpan(offset_ms=0, state=m.MaskState.UNMASKED, probability=0.02),),
)

MESSAGES: dict[str, m.WireModel] = {
    "sighting_batch": m.SightingBatch(
        agent_id="agent-01",
        spool_id=U2,
        seq=7,
        sent_us=T0,
        camera_id="cam-01",
        shard=1,
        space_id="mfn192-arc5-w1",
        variant="float",
        sightings=(SIGHTING,),
    ),
    "ack": m.Ack(
        agent_id="agent-01", stream=m.Stream.SIGHTINGS, spool_id=U2, acked_seq=7, issued_us=T0
    ),
    "agent_state": m.AgentState(
        agent_id="agent-01",
        online=True,
        bd_seq=3,
        since_us=T0,
        camera_id="cam-01",
        calibration_id="c1",
        model_pack_id="pack-1",
        space_id="mfn192-arc5-w1",
        variant="float",
        version="0.1.0",
        device="generic-x86",
    ),
    "health": m.Health(agent_id="agent-01", at_us=T0, started_us=T0, frames_total=9),
    "query": m.Query(
        query_id=U1,
        case_id=U2,
        agent_id="agent-01",
        kind=m.QueryKind.LOOKBACK,
        purpose="co-presence",
        issued_us=T0,
        expires_us=T0 + 600_000_000,
        nonce=bytes(16),
        scope=SCOPE,
        reply_key=bytes(32),
        sealed=b"\x01\x02",
    ),
    "query_secrets": m.QuerySecrets(
        space_id="mfn192-arc5-w1",
        probes=(m.Probe(epoch=20_414, shard=1, template=bytes(192), min_similarity=0.4),),
        sighting_ids=(U1,),
        upload_url="https://controller.example/v1/evidence/t",
        max_pictures=3,
    ),
    "reply": m.Reply(
        query_id=U1, agent_id="agent-01", spool_id=U2, seq=1, status=m.ReplyStatus.OK, body=b"\x00"
    ),
    "lookback_body": m.LookbackBody(
        camera_id="cam-01",
        camera_height_m=3.2,
        head_height_m=1.55,
        head_height_sd_m=0.12,
        frame_interval_s=1.0,
        tracklets=(TRACKLET,),
    ),
    "evidence_body": m.EvidenceBody(
        camera_id="cam-01",
        items=(
            m.EvidenceItem(
                evidence_id=U1,
                tracklet_id=U2,
                captured_us=T0,
                sha256=bytes(32),
                size_bytes=1000,
                similarity=0.6,
            ),
        ),
    ),
    "key_delivery": m.KeyDelivery(
        agent_id="agent-01",
        issued_us=T0,
        keys=(m.SealedEpochKey(epoch=20_414, shard=1, sealed=bytes(80)),),
    ),
    "envelope": m.Envelope(payload=b"\xa0", key_id=bytes(8), signature=bytes(64)),
}
