-- CreateTable
CREATE TABLE "feature_indexes" (
    "sae_id" TEXT NOT NULL,
    "dataset_id" TEXT NOT NULL,
    "job_id" TEXT NOT NULL,
    "tokens" BIGINT NOT NULL,
    "sequences" BIGINT NOT NULL,
    "details_artifact_id" TEXT NOT NULL,
    "summary_artifact_id" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "feature_indexes_pkey" PRIMARY KEY ("sae_id")
);

-- CreateTable
CREATE TABLE "features" (
    "sae_id" TEXT NOT NULL,
    "index" INTEGER NOT NULL,
    "firing_count" BIGINT,
    "firing_rate" DOUBLE PRECISION,
    "mean" DOUBLE PRECISION,
    "mean_when_active" DOUBLE PRECISION,
    "max_activation" DOUBLE PRECISION,
    "first_position_rate" DOUBLE PRECISION,
    "decoder_norm" DOUBLE PRECISION,
    "dense" BOOLEAN,
    "register" BOOLEAN,
    "top_tokens" TEXT[],
    "details_offset" BIGINT,
    "details_length" INTEGER,
    "label" TEXT,
    "label_source" TEXT,
    "label_score" DOUBLE PRECISION,
    "labelled_at" TIMESTAMPTZ(3),

    CONSTRAINT "features_pkey" PRIMARY KEY ("sae_id","index")
);

-- AddForeignKey
ALTER TABLE "feature_indexes" ADD CONSTRAINT "feature_indexes_sae_id_fkey" FOREIGN KEY ("sae_id") REFERENCES "saes"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "feature_indexes" ADD CONSTRAINT "feature_indexes_details_artifact_id_fkey" FOREIGN KEY ("details_artifact_id") REFERENCES "artifacts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "feature_indexes" ADD CONSTRAINT "feature_indexes_summary_artifact_id_fkey" FOREIGN KEY ("summary_artifact_id") REFERENCES "artifacts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "features" ADD CONSTRAINT "features_sae_id_fkey" FOREIGN KEY ("sae_id") REFERENCES "saes"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- Labels are searched by their words and, for typos, by trigrams. The extension is a trusted one: the owner of the database may create it.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX "features_label_words_idx" ON "features" USING GIN (to_tsvector('english', "label")) WHERE "label" IS NOT NULL;
CREATE INDEX "features_label_trigrams_idx" ON "features" USING GIN ("label" gin_trgm_ops) WHERE "label" IS NOT NULL;
