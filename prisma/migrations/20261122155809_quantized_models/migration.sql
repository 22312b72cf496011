-- AlterTable
ALTER TABLE "models" ADD COLUMN     "quantized_artifact_id" TEXT;

-- AddForeignKey
ALTER TABLE "models" ADD CONSTRAINT "models_quantized_artifact_id_fkey" FOREIGN KEY ("quantized_artifact_id") REFERENCES "artifacts"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
